//! The progress bar of a run.

use indicatif::{ProgressBar, ProgressStyle};

/// How far something is, on standard error where that is a terminal. It goes when it is dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many steps, or none.
    pub fn new(shown: bool, what: &str, steps: u64) -> Self {
        let bar = if shown { ProgressBar::new(steps) } else { ProgressBar::hidden() };
        let template = "{msg:<28} {wide_bar:.cyan/black} {pos}/{len} {elapsed_precise}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self(bar)
    }

    /// Tells how many steps there are.
    pub fn set_steps(&self, steps: u64) {
        self.0.set_length(steps);
    }

    /// One step more is done.
    pub fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
