//! Compression, RFC 7692 section 7.2.1, and the compressors that connections share.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::{Config, TAIL, WindowBits};

/// A flush may take some bytes for itself; with less room than this it might be done twice.
const SLACK: usize = 64;
/// The most that the output grows by at a time: what is not written has been zeroed for nothing.
const STEP: usize = 64 * 1024;

/// One direction's compressor: 134 to 484 KiB, by its window and memory level.
pub(crate) struct Deflater {
    stream: Deflate,
    window: WindowBits,
}

impl Deflater {
    pub(crate) fn new(level: u8, memory_level: u8, window: WindowBits) -> Self {
        let config = DeflateConfig {
            level: level.clamp(1, 9).into(),
            window_bits: -i32::from(window.get()),
            mem_level: memory_level.clamp(1, 9).into(),
            ..DeflateConfig::default()
        };
        Self { stream: Deflate::new_with_config(config), window }
    }

    /// Forgets what it has seen, so that the next message refers to nothing before it.
    pub(crate) fn reset(&mut self) {
        self.stream.reset();
    }

    /// Appends `data`, a message or a part of one, compressed and flushed. After the message's last part the end that all
    /// flushes have is left out.
    pub(crate) fn compress(&mut self, mut data: &[u8], last: bool, output: &mut Vec<u8>) {
        if data.is_empty() {
            // The library flushes nothing twice; RFC 7692 section 7.2.3.6: an empty block is one zero.
            if last {
                output.push(0);
            }
            return;
        }
        loop {
            let start = output.len();
            let room = (data.len() / 2 + SLACK).min(STEP);
            output.resize(start + room, 0);
            let (taken, written) = (self.stream.total_in(), self.stream.total_out());
            let result = self.stream.compress(data, &mut output[start..], DeflateFlush::SyncFlush);
            debug_assert!(result.is_ok(), "a compressor takes any input");
            let taken = (self.stream.total_in() - taken) as usize;
            let written = (self.stream.total_out() - written) as usize;
            output.truncate(start + written);
            data = &data[taken..];
            if written < room {
                break;
            }
        }
        debug_assert!(data.is_empty() && output.ends_with(&TAIL), "all is flushed when there is room left");
        if last {
            output.truncate(output.len() - TAIL.len());
        }
    }
}

/// What the connections of one worker share: how to compress, and compressors that rest between messages.
///
/// It may be shared by threads too, but each worker is better off with one of its own.
pub struct Compressors {
    level: u8,
    memory_level: u8,
    min_size: usize,
    resting: Mutex<[Option<Box<Deflater>>; WindowBits::COUNT]>,
}

impl Compressors {
    /// Compressors as `config` says, none of which is made before a message wants it.
    pub fn new(config: &Config) -> Self {
        Self { level: config.level, memory_level: config.memory_level, min_size: config.min_size, resting: Mutex::default() }
    }

    /// Whether a message of `len` bytes is worth compressing.
    pub(crate) fn suits(&self, len: usize) -> bool {
        len >= self.min_size.max(1)
    }

    /// A compressor that has seen nothing.
    pub(crate) fn take(&self, window: WindowBits) -> Box<Deflater> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner)[window.index()].take();
        resting.unwrap_or_else(|| Box::new(Deflater::new(self.level, self.memory_level, window)))
    }

    /// Takes a compressor back. One of each kind is kept: messages that are written whole never need two.
    pub(crate) fn give_back(&self, mut deflater: Box<Deflater>) {
        deflater.reset();
        let place = deflater.window.index();
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(deflater);
    }
}

impl fmt::Debug for Compressors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressors").field("level", &self.level).field("min_size", &self.min_size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Inflater;
    use super::*;

    #[test]
    fn a_message_in_parts_is_read_as_one() {
        for window in 9..=15 {
            for memory_level in [1, 9] {
                for level in [1, 2, 9] {
                    let mut deflater = Deflater::new(level, memory_level, WindowBits::new(window).unwrap());
                    let message: Vec<u8> = (0..40_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
                    let mut compressed = Vec::new();
                    deflater.compress(&message[..1000], false, &mut compressed);
                    deflater.compress(&[], false, &mut compressed);
                    deflater.compress(&message[1000..], false, &mut compressed);
                    deflater.compress(&[], true, &mut compressed);
                    let (mut inflater, mut output) = (Inflater::new(), Vec::new());
                    inflater.inflate(&compressed, &mut output, 40_000).unwrap();
                    inflater.finish(&mut output, 0).unwrap();
                    assert!(output == message, "window {window}, memory level {memory_level}, level {level}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_compress_grows_little() {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        let noise: Vec<u8> = noise.take(300_000).collect();
        let mut compressed = Vec::new();
        Deflater::new(2, 8, WindowBits::MAX).compress(&noise, true, &mut compressed);
        assert!(compressed.len() < noise.len() + 200, "{}", compressed.len());
    }

    #[test]
    fn a_compressor_that_was_given_back_has_forgotten_everything() {
        let compressors = Compressors::new(&Config::default());
        let text = b"the same words again and again";
        let compress = || {
            let mut deflater = compressors.take(WindowBits::MAX);
            let mut output = Vec::new();
            deflater.compress(text, true, &mut output);
            compressors.give_back(deflater);
            output
        };
        assert_eq!(compress(), compress());
    }
}
