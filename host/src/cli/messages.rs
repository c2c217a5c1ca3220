//! Server-sent events as the commands read them.

use std::mem;

/// One message of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub name: String,
    /// Where a reader that comes back goes on.
    pub id: Option<String>,
    pub data: String,
}

/// A stream that is being read.
pub struct Messages {
    answer: reqwest::Response,
    parser: Parser,
}

impl Messages {
    pub fn of(answer: reqwest::Response) -> Messages {
        Messages {
            answer,
            parser: Parser::default(),
        }
    }

    /// `None`: the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Message>, reqwest::Error> {
        loop {
            if let Some(message) = self.parser.next() {
                return Ok(Some(message));
            }
            match self.answer.chunk().await? {
                Some(bytes) => self.parser.feed(&bytes),
                None => return Ok(None),
            }
        }
    }
}

#[derive(Default)]
struct Parser {
    bytes: Vec<u8>,
    /// Bytes before this hold no end of a line.
    searched: usize,
    message: Message,
    has_data: bool,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Message> {
        while let Some(end) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=self.searched + end).collect();
            self.searched = 0;
            let line = String::from_utf8_lossy(&line[..line.len() - 1]);
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                let message = mem::take(&mut self.message);
                if mem::take(&mut self.has_data) {
                    return Some(message);
                }
            } else {
                self.read(line);
            }
        }
        self.searched = self.bytes.len();
        None
    }

    /// Comments have an empty field name; what isn't known is ignored.
    fn read(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.name),
            "id" => self.message.id = Some(value.to_owned()),
            "data" => {
                if mem::replace(&mut self.has_data, true) {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_whole_however_their_bytes_arrive() {
        let text = ":still here\n\nevent: snapshot\nid: 7\ndata: {\"a\":\ndata:  \"ä\"}\n\nretry: 5\r\ndata:x\r\n\r\ndata: cut off";
        let expected = [
            Message {
                name: "snapshot".to_owned(),
                id: Some("7".to_owned()),
                data: "{\"a\":\n \"ä\"}".to_owned(),
            },
            Message {
                name: String::new(),
                id: None,
                data: "x".to_owned(),
            },
        ];
        for size in 1..=text.len() {
            let mut parser = Parser::default();
            let mut messages = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                parser.feed(chunk);
                messages.extend(std::iter::from_fn(|| parser.next()));
            }
            assert_eq!(messages, expected, "in pieces of {size} bytes");
        }
    }
}
