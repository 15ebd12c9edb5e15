//! The bytes of the file: opening it as often as needed, their digest, and what the first pass finds out about them.
//!
//! A pipe can be read once only, so it is copied to a temporary file first.

use super::dialect::{SAMPLE_BYTES_MAX, marked_encoding};
use super::error::InputError;
use super::lines::LineCounter;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{DecoderResult, Encoding, UTF_8};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tempfile::NamedTempFile;

/// Where two legacy encodings are as likely, the guess is the one that Excel writes there: Windows-1252.
const LIKELY_COUNTRY: &[u8] = b"de";

/// How much is read at a time in the first pass, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// The SHA-256 of a file's bytes, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::finished(Sha256::new_with_prefix(bytes))
    }

    /// The digest of everything that can be read, in constant memory.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn of_stream(from: impl Read) -> io::Result<Digest> {
        let (mut hashing, digest) = Hashing::new(from);
        io::copy(&mut hashing, &mut io::sink())?;
        Ok(digest.so_far())
    }

    fn finished(hasher: Sha256) -> Digest {
        Digest(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that can be read from its beginning as often as needed.
#[derive(Debug)]
pub enum Source {
    /// A file that stays where it is.
    File(PathBuf),
    /// The copy of a pipe; removed when dropped.
    Spooled(NamedTempFile),
}

impl Source {
    /// Prepares a path for reading.
    ///
    /// # Errors
    /// When it cannot be opened, or a pipe cannot be copied.
    pub fn prepare(path: &Path) -> Result<Source, InputError> {
        let cannot_open = |source| InputError::Open(path.to_owned(), source);
        let mut file = File::open(path).map_err(cannot_open)?;
        let kind = file.metadata().map_err(cannot_open)?.file_type();
        if kind.is_dir() {
            return Err(cannot_open(io::ErrorKind::IsADirectory.into()));
        }
        if kind.is_file() {
            return Ok(Source::File(path.to_owned()));
        }
        let mut copy = NamedTempFile::new().map_err(InputError::Temporary)?;
        io::copy(&mut file, copy.as_file_mut()).map_err(InputError::Temporary)?;
        Ok(Source::Spooled(copy))
    }

    /// Opens it at its beginning.
    ///
    /// # Errors
    /// When the file is gone meanwhile.
    pub fn reader(&self) -> io::Result<File> {
        match self {
            Source::File(path) => File::open(path),
            Source::Spooled(copy) => copy.reopen(),
        }
    }
}

/// Takes the digest of what passes through. The digest is shared, since the reader disappears inside of others.
pub struct Hashing<R> {
    inner: R,
    hasher: Rc<RefCell<Sha256>>,
}

/// The digest of all bytes that have passed a [`Hashing`] so far.
pub struct RunningDigest(Rc<RefCell<Sha256>>);

impl RunningDigest {
    /// The digest at this moment.
    pub fn so_far(&self) -> Digest {
        Digest::finished(self.0.borrow().clone())
    }
}

impl<R: Read> Hashing<R> {
    /// Wraps a reader.
    pub fn new(inner: R) -> (Hashing<R>, RunningDigest) {
        let hasher = Rc::new(RefCell::new(Sha256::new()));
        (Hashing { inner, hasher: Rc::clone(&hasher) }, RunningDigest(hasher))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.borrow_mut().update(&buffer[..count]);
        Ok(count)
    }
}

/// What one look at all bytes tells.
#[derive(Debug)]
pub struct Probe {
    /// Of the bytes as they are on disk.
    pub digest: Digest,
    /// How the text is stored.
    pub encoding: &'static Encoding,
    /// Whether that is a guess, for want of a mark and since the bytes are not UTF-8.
    pub is_guess: bool,
    /// Whether there is a byte order mark.
    pub bom: bool,
    /// The first bytes.
    pub sample: Vec<u8>,
    /// First line with bytes that the marked encoding does not allow; in a file without any mark, the first line
    /// that is not UTF-8.
    pub malformed_line: Option<u64>,
    /// First line with a NUL character.
    pub nul_line: Option<u64>,
}

/// Reads everything once. A file without a mark is UTF-8 if all of it can be; text in another encoding that happens
/// to be UTF-8 throughout hardly exists, beyond plain ASCII.
///
/// # Errors
/// Those of the reader.
pub fn probe(reader: impl Read) -> io::Result<Probe> {
    let (mut reader, digest) = Hashing::new(reader);
    let mut sample = Vec::new();
    reader.by_ref().take(SAMPLE_BYTES_MAX as u64).read_to_end(&mut sample)?;
    let marked = marked_encoding(&sample);
    let (supposed, bom) = marked.unwrap_or((UTF_8, false));

    let mut text = TextCheck::new(supposed);
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let mut chunk = sample.clone();
    loop {
        let is_last = chunk.is_empty();
        text.feed(&chunk, is_last);
        // What is UTF-8 so far has next to nothing to say about another encoding.
        if marked.is_none() && text.malformed_line.is_some() {
            detector.feed(&chunk, is_last);
        }
        if is_last {
            break;
        }
        chunk.resize(CHUNK_BYTES, 0);
        let count = reader.read(&mut chunk)?;
        chunk.truncate(count);
    }
    let is_guess = marked.is_none() && text.malformed_line.is_some();
    let encoding = if is_guess { detector.guess(Some(LIKELY_COUNTRY), Utf8Detection::Deny) } else { supposed };
    let TextCheck { malformed_line, nul_line, .. } = text;
    Ok(Probe { digest: digest.so_far(), encoding, is_guess, bom, sample, malformed_line, nul_line })
}

/// Decodes without keeping anything, to see where that fails.
struct TextCheck {
    decoder: encoding_rs::Decoder,
    decoded: Vec<u8>,
    lines: LineCounter,
    malformed_line: Option<u64>,
    nul_line: Option<u64>,
}

impl TextCheck {
    fn new(encoding: &'static Encoding) -> TextCheck {
        TextCheck {
            decoder: encoding.new_decoder_with_bom_removal(),
            decoded: vec![0; CHUNK_BYTES],
            lines: LineCounter::default(),
            malformed_line: None,
            nul_line: None,
        }
    }

    fn feed(&mut self, mut bytes: &[u8], is_last: bool) {
        loop {
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(bytes, &mut self.decoded, is_last);
            bytes = &bytes[read..];
            self.look_at(written);
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(_, _) => {
                    self.malformed_line.get_or_insert(self.lines.line());
                }
            }
        }
    }

    fn look_at(&mut self, count: usize) {
        let text = &self.decoded[..count];
        if self.nul_line.is_none()
            && let Some(at) = memchr::memchr(0, text)
        {
            let mut lines = self.lines;
            lines.pass_all(&text[..at]);
            self.nul_line = Some(lines.line());
        }
        self.lines.pass_all(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use encoding_rs::{SHIFT_JIS, UTF_16LE, WINDOWS_1251, WINDOWS_1252};

    #[test]
    fn the_whole_file_decides_between_utf8_and_windows_1252() {
        let mut bytes = vec![b'a'; SAMPLE_BYTES_MAX];
        bytes.extend("\nü".as_bytes());
        assert_eq!(probe(bytes.as_slice()).unwrap().encoding, UTF_8);
        bytes.extend(b"\r\n\r\nM\xfcnchen;");
        let probe = probe(bytes.as_slice()).unwrap();
        assert_eq!((probe.encoding, probe.malformed_line), (WINDOWS_1252, Some(4)));
    }

    #[test]
    fn legacy_encodings_are_told_apart_by_a_name_or_two() {
        let guess = |text: &[u8]| {
            let file = [b"upn,name\r\nann@contoso.com,", text, b"\r\n"].concat();
            probe(file.as_slice()).unwrap().encoding
        };
        for name in [
            "René",
            "Jürgen Müller",
            "Søren",
            "Åsa",
            "José Núñez",
            "André",
            "Zoë",
            "Weiß",
            "Ægir",
            "Übel",
            "Müller",
            "Gonçalves",
            "Ö",
        ] {
            assert_eq!(guess(&WINDOWS_1252.encode(name).0), WINDOWS_1252, "{name}");
        }
        assert_eq!(guess(&WINDOWS_1251.encode("Анна Иванова").0), WINDOWS_1251);
        assert_eq!(guess(&SHIFT_JIS.encode("山田太郎").0), SHIFT_JIS);
    }

    #[test]
    fn a_marked_file_keeps_its_encoding_and_shows_its_first_bad_line() {
        let probed = probe(&b"\xef\xbb\xbfupn\n\xfc\n"[..]).unwrap();
        assert_eq!((probed.encoding, probed.bom, probed.malformed_line), (UTF_8, true, Some(2)));
        let probed = probe(&b"\xff\xfeu\0\n\0\0\xd8n\0"[..]).unwrap();
        assert_eq!((probed.encoding, probed.malformed_line), (UTF_16LE, Some(2)));
    }

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let probed = probe(&b"abc"[..]).unwrap();
        assert_eq!(probed.digest.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_nul_is_found_with_its_line() {
        assert_eq!(probe(&b"upn,guid\na\0@contoso.com,\n"[..]).unwrap().nul_line, Some(2));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_probe_panic(bytes: Vec<u8>) {
            let probed = probe(bytes.as_slice()).unwrap();
            prop_assert_eq!(probed.sample, bytes);
        }
    }
}
