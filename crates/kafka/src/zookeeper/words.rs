//! Four-letter words: one word out, one text in, and the server closes the connection.

use super::ZooKeeperError;
use crate::Address;
use std::fmt;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The largest answer that is read. `mntr` of 3.9 has 540 lines and 24 KB.
const MAX_ANSWER: u64 = 1024 * 1024;

/// What a server says, whatever the word, while it has no quorum.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// What it says after a word that its configuration does not allow.
const NOT_ALLOWED: &str = "is not executed because it is not in the whitelist";

/// The words that are used here; all of them only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Version, mode, transaction id.
    Srvr,
    /// Counters.
    Mntr,
    /// The configuration in use.
    Conf,
    /// "Are you ok?" The process says `imok` whether it serves or not.
    Ruok,
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Srvr => "srvr",
            Self::Mntr => "mntr",
            Self::Conf => "conf",
            Self::Ruok => "ruok",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Sends a word and returns the answer.
///
/// # Errors
/// When the server can not be reached in time, does not allow the word, or serves nobody.
pub async fn four_letter_word(server: &Address, word: Word, deadline: Instant) -> Result<String, ZooKeeperError> {
    let start = Instant::now();
    let answer = match tokio::time::timeout_at(deadline, exchange(server, word)).await {
        Ok(result) => result?,
        Err(_) => {
            let (server, what) = (server.to_string(), word.to_string());
            return Err(ZooKeeperError::Timeout { server, what, waited: start.elapsed() });
        }
    };
    classify(server, word, answer)
}

async fn exchange(server: &Address, word: Word) -> Result<String, ZooKeeperError> {
    let failed = |source| ZooKeeperError::Connect { server: server.clone(), source };
    let broken = |source| ZooKeeperError::Broken { server: server.clone(), word, source };
    let mut stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(failed)?;
    stream.write_all(word.text().as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER + 1).read_to_end(&mut answer).await.map_err(broken)?;
    if answer.len() as u64 > MAX_ANSWER {
        return Err(ZooKeeperError::TooLarge { server: server.clone(), word, limit: MAX_ANSWER });
    }
    String::from_utf8(answer).map_err(|error| broken(io::Error::new(io::ErrorKind::InvalidData, error)))
}

fn classify(server: &Address, word: Word, answer: String) -> Result<String, ZooKeeperError> {
    let server = || server.clone();
    if answer.trim_end() == NOT_SERVING {
        return Err(ZooKeeperError::NotServing { server: server(), word });
    }
    if answer.contains(NOT_ALLOWED) {
        return Err(ZooKeeperError::NotAllowed { server: server(), word });
    }
    if answer.is_empty() {
        let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection without a word");
        return Err(ZooKeeperError::Broken { server: server(), word, source });
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::net::TcpListener;

    /// Answers one connection with a text after it has read the word.
    async fn server_that_says(text: &'static [u8]) -> (Address, tokio::task::JoinHandle<[u8; 4]>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut word = [0; 4];
            stream.read_exact(&mut word).await.unwrap();
            stream.write_all(text).await.unwrap();
            word
        });
        (address, served)
    }

    #[tokio::test]
    async fn an_answer_is_told_apart_from_the_ways_to_refuse_one() {
        let cases: [(&[u8], &str); 5] = [
            (b"imok", "Ok(\"imok\")"),
            (b"This ZooKeeper instance is not currently serving requests\n", "not serving requests"),
            (b"ruok is not executed because it is not in the whitelist.\n", "does not allow this word"),
            (b"", "get the answer to 'ruok'"),
            (b"\xff\xfe", "get the answer to 'ruok'"),
        ];
        for (said, expected) in cases {
            let (address, served) = server_that_says(said).await;
            let answer = four_letter_word(&address, Word::Ruok, Instant::now() + Duration::from_secs(5)).await;
            let text = answer.map_or_else(|error| error.to_string(), |text| format!("Ok({text:?})"));
            assert!(text.contains(expected), "{said:?}: {text}");
            assert_eq!(&served.await.unwrap(), b"ruok");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_costs_no_more_than_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = four_letter_word(&address, Word::Mntr, deadline).await.unwrap_err();
        assert!(matches!(error, ZooKeeperError::Timeout { .. }), "{error}");
    }
}
