//! Keeps a command's output: all of it up to the cap, then its newest part.
//!
//! Shape: up to half the cap, output goes into `events` as it comes. What follows goes into `tail.0` and `tail.1` by
//! turns, each a quarter of the cap, the older one being emptied when the newer is full; at the end both are
//! appended to `events` behind a line that says how much was left out. So numbers of events never change once
//! they are given, and disk use is bounded whatever the command writes.

use crate::journal::StateError;
use crate::journal::files::{self, Durable};
use crate::journal::spool::{self, Piece, SpoolDir, Writer};
use kfleet_model::OutputStream;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// The output of one command.
pub(super) struct Output {
    spool: SpoolDir,
    writer: Writer,
    half: u64,
    kept: u64,
    tail: Option<Tail>,
    /// Bytes that the disk did not take.
    lost: u64,
}

impl Output {
    /// Goes on behind the events that the agent has written.
    pub(super) fn open(spool: &SpoolDir, half: u64) -> Result<Self, StateError> {
        Ok(Self { spool: spool.clone(), writer: Writer::open(spool)?, half, kept: 0, tail: None, lost: 0 })
    }

    /// Keeps a piece. A disk that is full must not stop the command, which would wait for ever to write: such output
    /// is counted and left out.
    pub(super) fn push(&mut self, stream: OutputStream, data: &[u8]) {
        if self.lost > 0 || self.try_push(stream, data).is_err() {
            self.lost += data.len() as u64;
        }
    }

    fn try_push(&mut self, stream: OutputStream, data: &[u8]) -> Result<(), StateError> {
        let room = usize::try_from(self.half - self.kept).unwrap_or(usize::MAX).min(data.len());
        let (head, rest) = data.split_at(room);
        if !head.is_empty() {
            self.writer.append(Piece::Output(stream, head))?;
            self.kept += head.len() as u64;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let tail = match &mut self.tail {
            Some(tail) => tail,
            None => {
                let text = format!(
                    "the command wrote more than {} bytes; its newest output is kept and follows at its end",
                    self.half
                );
                self.writer.append(Piece::Progress(&text))?;
                self.tail.insert(Tail::new(&self.spool, self.half / 2)?)
            }
        };
        tail.push(stream, rest)
    }

    /// Puts the end behind the beginning; gives the number of bytes that were left out.
    pub(super) fn finish(mut self, durable: Durable) -> Result<u64, StateError> {
        let mut dropped = self.lost;
        let outcome = self.append_tail(&mut dropped);
        if dropped > 0 && self.lost > 0 {
            let text = format!("{} bytes of output are lost: the disk under the agent's state is full", self.lost);
            // On a disk that is still full the count in the exit file has to do.
            if self.writer.append(Piece::Progress(&text)).is_err() {
                return Ok(dropped);
            }
        }
        match outcome {
            Err(error) if error.is_full() => Ok(dropped),
            Err(error) => Err(error),
            Ok(()) if durable == Durable::No => Ok(dropped),
            Ok(()) => self.writer.sync().map(|()| dropped),
        }
    }

    fn append_tail(&mut self, dropped: &mut u64) -> Result<(), StateError> {
        let Some(tail) = self.tail.take() else { return Ok(()) };
        *dropped += tail.dropped;
        if tail.dropped > 0 {
            let text = format!("{} bytes of output were left out here", tail.dropped);
            self.writer.append(Piece::Progress(&text))?;
        }
        for path in tail.in_order() {
            if let Some(frames) = files::read_optional(&path)? {
                self.writer.append_frames(&frames)?;
                files::remove(&path).map_err(StateError::io("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// The newest output, in two files by turns.
struct Tail {
    paths: [PathBuf; 2],
    file: File,
    current: usize,
    limit: u64,
    /// Bytes of output in the current file and in the other.
    sizes: [u64; 2],
    dropped: u64,
    frame: Vec<u8>,
}

impl Tail {
    fn new(spool: &SpoolDir, limit: u64) -> Result<Self, StateError> {
        let paths = [spool.file("tail.0"), spool.file("tail.1")];
        let file = create(&paths[0])?;
        Ok(Self { paths, file, current: 0, limit, sizes: [0, 0], dropped: 0, frame: Vec::new() })
    }

    fn push(&mut self, stream: OutputStream, data: &[u8]) -> Result<(), StateError> {
        if self.sizes[self.current] > 0 && self.sizes[self.current] + data.len() as u64 > self.limit {
            self.current = 1 - self.current;
            self.dropped += std::mem::take(&mut self.sizes[self.current]);
            self.file = create(&self.paths[self.current])?;
        }
        self.frame.clear();
        spool::encode(Piece::Output(stream, data), &mut self.frame);
        let path = &self.paths[self.current];
        self.file.write_all(&self.frame).map_err(StateError::io("write", path))?;
        self.sizes[self.current] += data.len() as u64;
        Ok(())
    }

    fn in_order(self) -> [PathBuf; 2] {
        let [first, second] = self.paths;
        if self.current == 0 { [second, first] } else { [first, second] }
    }
}

fn create(path: &PathBuf) -> Result<File, StateError> {
    files::private().write(true).create(true).truncate(true).open(path).map_err(StateError::io("create", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::OpEventKind;

    /// Writes numbered lines through an output with this cap and reads the spool back.
    fn through(lines: u32, half: u64) -> (Vec<String>, Vec<String>, u64) {
        let dir = tempfile::tempdir().unwrap();
        let spool = SpoolDir::at(dir.path().to_owned());
        std::fs::write(spool.file("events"), b"").unwrap();
        let mut output = Output::open(&spool, half).unwrap();
        for n in 0..lines {
            output.push(OutputStream::Stdout, format!("{n:06}\n").as_bytes());
        }
        let dropped = output.finish(Durable::Yes).unwrap();
        let mut reader = spool::Reader::open(&spool).unwrap();
        let (mut text, mut notes) = (String::new(), Vec::new());
        for event in reader.next_batch(1 << 24).unwrap() {
            match event.kind {
                OpEventKind::Output { data, .. } => text.push_str(&String::from_utf8(data).unwrap()),
                OpEventKind::Progress { text } => notes.push(text),
                OpEventKind::Started | OpEventKind::Finished(_) => panic!("only output was written"),
            }
        }
        assert!(!spool.file("tail.0").exists() && !spool.file("tail.1").exists());
        (text.lines().map(str::to_owned).collect(), notes, dropped)
    }

    #[test]
    fn output_under_the_cap_is_kept_whole() {
        let (lines, notes, dropped) = through(100, 700);
        assert_eq!(lines, (0..100).map(|n| format!("{n:06}")).collect::<Vec<_>>());
        assert_eq!((notes.len(), dropped), (0, 0));
    }

    #[test]
    fn of_too_much_output_beginning_and_end_are_kept_and_the_rest_is_counted() {
        for lines in [101, 150, 151, 199, 200, 1000, 12_345] {
            let (kept, notes, dropped) = through(lines, 700);
            let missing = u64::from(lines) * 7 - kept.len() as u64 * 7;
            assert_eq!(missing, dropped, "{lines} lines");
            assert_eq!(kept[..100], (0..100).map(|n| format!("{n:06}")).collect::<Vec<_>>());
            let tail = &kept[100..];
            let first = lines - u32::try_from(tail.len()).unwrap();
            assert_eq!(tail, (first..lines).map(|n| format!("{n:06}")).collect::<Vec<_>>(), "the end has no hole");
            assert!(tail.len() >= 50.min(lines as usize - 100) && tail.len() <= 100, "{} of {lines}", tail.len());
            assert_eq!(notes.len(), if dropped > 0 { 2 } else { 1 }, "{notes:?}");
        }
    }
}
