//! Runs in a file, and back: an array of them.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::run::Run;

/// Writes runs to a file, or to standard output if it is called `-`.
pub fn write(runs: &[Run], path: &Path) -> io::Result<()> {
    write_all(runs, path)
}

/// Writes anything else in the same way.
pub fn write_all(all: &[impl Serialize], path: &Path) -> io::Result<()> {
    if path == Path::new("-") {
        write_to(all, io::stdout().lock())
    } else {
        write_to(all, File::create(path)?)
    }
}

/// Reads what [`write()`] has written, from a file, or from standard input if it is called `-`.
pub fn read(path: &Path) -> io::Result<Vec<Run>> {
    if path == Path::new("-") {
        return Ok(serde_json::from_reader(io::stdin().lock())?);
    }
    Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
}

fn write_to(all: &[impl Serialize], file: impl Write) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut file, all)?;
    file.write_all(b"\n")?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{phase, run};
    use super::*;
    use crate::run::Measure;

    #[test]
    fn what_is_read_is_what_was_written() {
        // the last digit of a float counts: a plain reader of JSON gets some of these wrong
        let mut chance = fastrand::Rng::with_seed(1);
        let times: Vec<f64> = (0..1000).map(|_| chance.f64() * 1000.0).collect();
        let runs: Vec<Run> = (0..100)
            .map(|repetition| {
                let times = &times[repetition * 10..][..10];
                let phase = phase("it's \"one\"").latency(Measure::LastAck, times).samples().phase();
                let mut run = run("hot-change", "légation", repetition, vec![phase]);
                run.failures.push("nobody <came>".to_owned());
                run.phases[0].server = (repetition % 2 == 0).then_some(run.phases[0].server).flatten();
                run
            })
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        write(&runs, file.path()).unwrap();
        assert_eq!(read(file.path()).unwrap(), runs);
    }

    #[test]
    fn a_file_that_is_not_one_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}").unwrap();
        assert!(read(file.path()).is_err());
    }
}
