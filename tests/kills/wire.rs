//! The way from the hosts to the cloud. It knows each host by its credential, writes down what passes, and says when a chosen request
//! is at a chosen point: there it stands still until its host is dead.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};

use super::moment::{Asked, Point};

/// What a request that has no answer is answered; nobody hears it.
const NOBODY: StatusCode = StatusCode::BAD_GATEWAY;

pub struct Wire {
    pub url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// A request that has left a host.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub host: usize,
    /// How often that host had been started before.
    pub life: usize,
    pub method: String,
    pub path: String,
    /// Of what it is about, in its body.
    pub name: Option<String>,
    /// What its answer made known, and how many requests had left any host when that was given to its host.
    pub answered: Option<(String, usize)>,
    /// It was sent on so long after its host's death.
    pub late: Option<Duration>,
}

/// The moment is there: the host is to be killed.
#[derive(Debug)]
pub struct Standing {
    pub host: usize,
    /// Of what the request is about.
    pub name: Option<String>,
    /// Dropped, or told when the host died: the request may go on.
    pub over: oneshot::Sender<Instant>,
}

struct Armed {
    asked: Asked,
    point: Point,
    /// How long after its host's death a late request goes on, or after an answer the host dies.
    delay: Duration,
    tell: oneshot::Sender<Standing>,
    /// Where `point` is `Followed`, once there is an answer: what it made known, to whom.
    known: Option<(usize, String)>,
}

impl Armed {
    fn stands(self, host: usize, name: Option<String>, late: Option<Duration>) -> Way {
        let (over, is_over) = oneshot::channel();
        match self.tell.send(Standing { host, name, over }) {
            Ok(()) => Way::Stands(is_over, late),
            // Whoever has armed it has just lost patience.
            Err(_) => Way::On,
        }
    }
}

#[derive(Default)]
struct Book {
    armed: Option<Armed>,
    lives: Vec<usize>,
    exchanges: Vec<Exchange>,
}

struct Shared {
    cloud: String,
    http: reqwest::Client,
    book: Mutex<Book>,
}

pub fn credential(host: usize) -> String {
    format!("sim-token-{host}")
}

impl Wire {
    pub async fn to(cloud: String, hosts: usize) -> Wire {
        let shared = Arc::new(Shared {
            cloud,
            http: crate::support::http::client(),
            book: Mutex::new(Book {
                lives: vec![0; hosts],
                ..Book::default()
            }),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(carry).with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Wire { url, shared, serving }
    }

    /// Answers once the next such request is at that point.
    pub fn arm(&self, asked: Asked, point: Point, delay: Duration) -> oneshot::Receiver<Standing> {
        let (tell, told) = oneshot::channel();
        self.shared.book.lock().unwrap().armed = Some(Armed {
            asked,
            point,
            delay,
            tell,
            known: None,
        });
        told
    }

    pub fn disarm(&self) {
        self.shared.book.lock().unwrap().armed = None;
    }

    /// This host is dead; what comes with its credential from now on is the next one's.
    pub fn died(&self, host: usize) {
        self.shared.book.lock().unwrap().lives[host] += 1;
    }

    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.book.lock().unwrap().exchanges.clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn carry(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    // A task of its own: what has left goes on when its host dies.
    tokio::spawn(shared.carried(request)).await.unwrap()
}

/// What becomes of a request.
enum Way {
    On,
    /// It stands; and what then.
    Stands(oneshot::Receiver<Instant>, Option<Duration>),
}

impl Shared {
    async fn carried(self: Arc<Self>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            return NOBODY.into_response();
        };
        let (number, way) = self.leaves(&parts, &body);
        if let Way::Stands(over, late) = way {
            let (Ok(died), Some(delay)) = (over.await, late) else {
                return NOBODY.into_response();
            };
            tokio::time::sleep(delay).await;
            self.book.lock().unwrap().exchanges[number].late = Some(died.elapsed());
        }
        let (status, headers, answer) = self.send(&parts, body).await;
        match self.returns(number, status, &answer) {
            Way::On => {}
            Way::Stands(over, _) => {
                let _ = over.await;
                return NOBODY.into_response();
            }
        }
        let mut response = Response::new(Body::from(answer));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn leaves(&self, parts: &Parts, body: &Bytes) -> (usize, Way) {
        let mut book = self.book.lock().unwrap();
        let credential = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let number = credential.and_then(|text| text.rsplit('-').next()?.parse().ok());
        let host: usize = number.unwrap_or_else(|| panic!("whose is {credential:?}?"));
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let name = body.and_then(|body| Some(body.get("name")?.as_str()?.to_owned()));
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let life = book.lives[host];
        book.exchanges.push(Exchange {
            host,
            life,
            method: method.to_owned(),
            path: path.to_owned(),
            name: name.clone(),
            answered: None,
            late: None,
        });
        let number = book.exchanges.len() - 1;
        let stands = |armed: &Armed| match armed.point {
            Point::Leaving | Point::Late => Asked::of(method, path) == Some(armed.asked),
            Point::Followed => {
                let known = armed.known.as_ref();
                known.is_some_and(|(whose, thing)| *whose == host && thing == path)
            }
            Point::Effected | Point::Answered => false,
        };
        let Some(armed) = book.armed.take_if(|armed| stands(armed)) else {
            return (number, Way::On);
        };
        let late = (armed.point == Point::Late).then_some(armed.delay);
        (number, armed.stands(host, name, late))
    }

    fn returns(&self, number: usize, status: StatusCode, answer: &Bytes) -> Way {
        let mut book = self.book.lock().unwrap();
        let Exchange {
            host,
            method,
            path,
            name,
            ..
        } = book.exchanges[number].clone();
        let Some(asked) = Asked::of(&method, &path) else {
            return Way::On;
        };
        let stands = |armed: &Armed| armed.asked == asked && armed.point == Point::Effected;
        if let Some(armed) = book.armed.take_if(|armed| stands(armed)) {
            return armed.stands(host, name, None);
        }
        let known = status
            .is_success()
            .then(|| made_known(asked, &path, name.as_deref(), answer));
        let known = known.flatten();
        let left = book.exchanges.len();
        book.exchanges[number].answered = known.clone().map(|known| (known, left));
        if let Some(armed) = &mut book.armed
            && (armed.asked, armed.point) == (asked, Point::Followed)
        {
            armed.known = known.map(|known| (host, known));
        }
        let stands = |armed: &Armed| armed.asked == asked && armed.point == Point::Answered;
        if let Some(armed) = book.armed.take_if(|armed| stands(armed)) {
            tokio::spawn(async move {
                tokio::time::sleep(armed.delay).await;
                let (over, _) = oneshot::channel();
                let _ = armed.tell.send(Standing { host, name, over });
            });
        }
        Way::On
    }

    async fn send(&self, parts: &Parts, body: Bytes) -> (StatusCode, HeaderMap, Bytes) {
        let url = format!("{}{}", self.cloud, parts.uri);
        let mut request = self.http.request(parts.method.clone(), url).body(body);
        for name in [header::AUTHORIZATION, header::CONTENT_TYPE] {
            if let Some(value) = parts.headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.unwrap();
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        let of_the_line: [HeaderName; 3] = [
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
        ];
        for name in of_the_line {
            headers.remove(name);
        }
        (status, headers, answer.bytes().await.unwrap())
    }
}

/// The path that only whoever knows the answer asks for next.
fn made_known(asked: Asked, path: &str, name: Option<&str>, answer: &Bytes) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    match asked {
        Asked::Create => Some(format!("/v2/droplets/{}", answer["droplet"]["id"].as_i64()?)),
        Asked::Snapshot => Some(format!("/v2/actions/{}", answer["action"]["id"].as_i64()?)),
        Asked::Tag => Some(format!("/v2/tags/{}", name?)),
        Asked::Destroy | Asked::DeleteSnapshot => Some(path.to_owned()),
    }
}
