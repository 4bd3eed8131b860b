//! Numbers, texts and lists that carry their limits in their type: no value of these types is outside them.

use std::fmt::{self, Display};
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Errors, Path, Shape};

/// Why a value is refused by a type with limits, such as `70000 is not in 1..=65535`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutOfLimits(String);

/// An integer in `MIN..=MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Int<const MIN: i64, const MAX: i64>(i64);

/// An integer from `MIN` to the largest that App Mesh and Envoy count with, 2147483647.
pub type AtLeast<const MIN: i64> = Int<MIN, 2_147_483_647>;

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }

    /// The number, or the nearest one that 32 bits without a sign can hold.
    pub fn to_u32(self) -> u32 {
        u32::try_from(self.0.max(0)).unwrap_or(u32::MAX)
    }
}

impl<const MIN: i64, const MAX: i64> TryFrom<i64> for Int<MIN, MAX> {
    type Error = OutOfLimits;

    fn try_from(number: i64) -> Result<Self, OutOfLimits> {
        if (MIN..=MAX).contains(&number) { Ok(Int(number)) } else { Err(not_in::<MIN, MAX>(number)) }
    }
}

fn not_in<const MIN: i64, const MAX: i64>(number: impl Display) -> OutOfLimits {
    OutOfLimits(format!("{number} is not in {MIN}..={MAX}"))
}

impl<const MIN: i64, const MAX: i64> Display for Int<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MIN: i64, const MAX: i64> Shape for Int<MIN, MAX> {
    fn check(value: &Value, at: &Path, errors: &mut Errors) {
        if let Some(number) = value.as_i64() {
            if let Err(error) = Self::try_from(number) {
                errors.report(at, error);
            }
        } else if let Some(number) = value.as_u64() {
            errors.report(at, not_in::<MIN, MAX>(number));
        } else {
            errors.wrong_type(at, value, "an integer");
        }
    }
}

/// A text of `MIN..=MAX` characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check_length(text: &str) -> Result<(), OutOfLimits> {
        let chars = text.chars().count();
        if (MIN..=MAX).contains(&chars) {
            return Ok(());
        }
        Err(OutOfLimits(format!("has {chars} characters; {MIN} to {MAX} are allowed")))
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<String> for Text<MIN, MAX> {
    type Error = OutOfLimits;

    fn try_from(text: String) -> Result<Self, OutOfLimits> {
        Self::check_length(&text)?;
        Ok(Text(text))
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Text<MIN, MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> Display for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MIN: usize, const MAX: usize> Shape for Text<MIN, MAX> {
    fn check(value: &Value, at: &Path, errors: &mut Errors) {
        let Value::String(text) = value else {
            errors.wrong_type(at, value, "a string");
            return;
        };
        if let Err(error) = Self::check_length(text) {
            errors.report(at, error);
        }
    }
}

/// A list of `MIN..=MAX` items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>")]
pub struct List<T, const MIN: usize, const MAX: usize>(Vec<T>);

impl<T, const MIN: usize, const MAX: usize> List<T, MIN, MAX> {
    fn check_length(items: usize) -> Result<(), OutOfLimits> {
        if (MIN..=MAX).contains(&items) {
            return Ok(());
        }
        let allowed = if MIN == MAX { format!("exactly {MIN}") } else { format!("{MIN} to {MAX}") };
        Err(OutOfLimits(format!("has {items} items; {allowed} are allowed")))
    }
}

impl<T, const MIN: usize, const MAX: usize> TryFrom<Vec<T>> for List<T, MIN, MAX> {
    type Error = OutOfLimits;

    fn try_from(items: Vec<T>) -> Result<Self, OutOfLimits> {
        Self::check_length(items.len())?;
        Ok(List(items))
    }
}

impl<T, const MIN: usize, const MAX: usize> Deref for List<T, MIN, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MIN: usize, const MAX: usize> IntoIterator for List<T, MIN, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, const MIN: usize, const MAX: usize> IntoIterator for &'a List<T, MIN, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Shape, const MIN: usize, const MAX: usize> Shape for List<T, MIN, MAX> {
    fn check(value: &Value, at: &Path, errors: &mut Errors) {
        if let Value::Array(items) = value
            && let Err(error) = Self::check_length(items.len())
        {
            errors.report(at, error);
        }
        Vec::<T>::check(value, at, errors);
    }
}
