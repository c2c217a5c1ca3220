//! Which accounts a saga's requests went to, and what happens when a service now reaches another one: nothing of the saga is
//! sent there, reads included, since an absence in another account proves nothing. The saga waits, with a finding.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{cloud::Identity, store::NewFinding};

/// Code of the finding; resolved when a request of the saga passes, and when the saga ends.
pub const SERVICE_CHANGED: &str = "service-changed";

/// Of one saga in memory. Shared by its calls.
#[derive(Debug, Default)]
pub struct Accounts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Service to the identities that the saga's requests carry.
    sent_to: BTreeMap<String, BTreeSet<String>>,
    /// Service to (before, now), of those that are denied to the saga.
    denied: BTreeMap<String, (String, String)>,
    /// The finding is open, as far as is known.
    told: bool,
}

/// What to do about the finding.
#[derive(Debug, PartialEq, Eq)]
pub enum Tell {
    Nothing,
    Open(NewFinding),
    Resolve,
}

impl Accounts {
    /// What the journal and the findings of a saga say.
    pub fn loaded(sent_to: BTreeMap<String, BTreeSet<String>>, told: bool) -> Accounts {
        Accounts {
            state: Mutex::new(State {
                sent_to,
                denied: BTreeMap::new(),
                told,
            }),
        }
    }

    /// Whether requests may go to the service with this identity, and what is to be told about it.
    pub fn check(&self, service: &str, identity: &Identity) -> (bool, Tell) {
        let mut state = self.lock();
        let Some(before) = state.another(service, identity) else {
            if state.denied.remove(service).is_none() && !state.told {
                return (true, Tell::Nothing);
            }
            let tell = if state.denied.is_empty() {
                state.told = false;
                Tell::Resolve
            } else {
                state.tell()
            };
            return (true, tell);
        };
        let denied = (before, identity.as_str().to_owned());
        if state.told && state.denied.get(service) == Some(&denied) {
            return (false, Tell::Nothing);
        }
        state.denied.insert(service.to_owned(), denied);
        (false, state.tell())
    }

    /// A request of the saga is about to be recorded under this identity. False: earlier ones went to another account.
    pub fn bind(&self, service: &str, identity: &str) -> bool {
        let mut state = self.lock();
        let sent_to = state.sent_to.entry(service.to_owned()).or_default();
        // The check came before; between the two, a branch of the same saga may have sent something elsewhere.
        let origin = identity.split_once('#').map(|(origin, _)| origin);
        let same = sent_to
            .iter()
            .all(|before| before == identity || Some(before.as_str()) == origin);
        if same {
            sent_to.insert(identity.to_owned());
        }
        same
    }

    /// The account in the keys of the saga's resources: empty for a saga that began while the account couldn't be told, so that it
    /// goes on finding its own rows.
    pub fn account(&self, service: &str, identity: &Identity) -> String {
        let state = self.lock();
        let untold = |before: &String| !before.contains('#');
        if state
            .sent_to
            .get(service)
            .is_some_and(|sent_to| sent_to.iter().any(untold))
        {
            String::new()
        } else {
            identity.account().to_owned()
        }
    }

    /// Services that reach another account now than the saga's; those whose account isn't known at the moment are left out.
    pub fn elsewhere(&self, known: impl Fn(&str) -> Option<Arc<Identity>>) -> Vec<String> {
        let state = self.lock();
        let is_elsewhere = |service: &&String| {
            known(service).is_some_and(|identity| state.another(service, &identity).is_some())
        };
        state.sent_to.keys().filter(is_elsewhere).cloned().collect()
    }

    /// Whether the saga has used the service.
    pub fn has_used(&self, service: &str) -> bool {
        self.lock().sent_to.contains_key(service)
    }

    /// Telling failed: the next one tries again.
    pub fn untold(&self, tell: &Tell) {
        self.lock().told = matches!(tell, Tell::Resolve);
    }

    /// The finding may be open.
    pub fn told(&self) -> bool {
        self.lock().told
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// An identity that the saga sent requests to, and that isn't this one.
    fn another(&self, service: &str, identity: &Identity) -> Option<String> {
        let mut sent_to = self.sent_to.get(service)?.iter();
        sent_to.find(|before| !identity.continues(before)).cloned()
    }

    fn tell(&mut self) -> Tell {
        self.told = true;
        let changes: Vec<String> = self
            .denied
            .iter()
            .map(|(service, (before, now))| {
                format!("service {service} was {before} when the saga used it, and is {now} now")
            })
            .collect();
        Tell::Open(NewFinding {
            code: SERVICE_CHANGED.to_owned(),
            step: None,
            resource: None,
            message: format!("{}; nothing of the saga is sent there", changes.join("; ")),
            advice: "put the credential of the earlier account back (one that may read its account): the saga then goes on by itself"
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::cloud::IdentityProbe;

    use super::*;

    fn account(id: &str) -> Identity {
        let probe = IdentityProbe {
            path: "/".to_owned(),
            pointers: vec!["/id".to_owned()],
        };
        Identity::answered(
            "https://a.example",
            &probe,
            format!(r#"{{"id":"{id}"}}"#).as_bytes(),
        )
    }

    fn told(tell: Tell) -> String {
        match tell {
            Tell::Open(finding) => finding.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_service_binds_a_saga_with_its_first_request_and_tells_a_change_once() {
        let accounts = Accounts::default();
        let (first, second) = (account("1"), account("2"));
        assert_eq!(accounts.check("cloud", &first), (true, Tell::Nothing));
        assert_eq!(
            accounts.check("cloud", &second),
            (true, Tell::Nothing),
            "nothing was sent yet"
        );
        assert!(accounts.bind("cloud", first.as_str()));
        assert!(
            !accounts.bind("cloud", second.as_str()),
            "a branch between check and intent"
        );
        let (admitted, tell) = accounts.check("cloud", &second);
        assert!(!admitted && told(tell).contains("https://a.example#2"));
        assert_eq!(accounts.check("cloud", &second), (false, Tell::Nothing));
        assert_eq!(accounts.check("cloud", &first), (true, Tell::Resolve));
        assert_eq!(accounts.check("cloud", &first), (true, Tell::Nothing));
    }

    #[test]
    fn the_finding_names_every_changed_service_and_ends_with_the_last() {
        let accounts = Accounts::default();
        let (first, second) = (account("1"), account("2"));
        for service in ["a", "b"] {
            assert!(accounts.bind(service, first.as_str()));
            assert!(!accounts.check(service, &second).0);
        }
        let (_, tell) = accounts.check("a", &first);
        let message = told(tell);
        assert!(
            message.contains("service b") && !message.contains("service a"),
            "{message}"
        );
        assert_eq!(accounts.check("b", &first).1, Tell::Resolve);
    }

    #[test]
    fn what_could_not_be_told_is_told_again() {
        let accounts = Accounts::default();
        let (first, second) = (account("1"), account("2"));
        accounts.bind("cloud", first.as_str());
        let (_, tell) = accounts.check("cloud", &second);
        accounts.untold(&tell);
        assert!(matches!(accounts.check("cloud", &second).1, Tell::Open(_)));
        let (_, tell) = accounts.check("cloud", &first);
        assert_eq!(tell, Tell::Resolve);
        accounts.untold(&tell);
        assert_eq!(accounts.check("cloud", &first), (true, Tell::Resolve));
    }

    #[test]
    fn a_saga_that_began_without_an_account_keeps_its_keys() {
        let sent_to = BTreeMap::from([(
            "cloud".to_owned(),
            BTreeSet::from(["https://a.example".to_owned()]),
        )]);
        let accounts = Accounts::loaded(sent_to, false);
        let known = account("1");
        assert!(accounts.check("cloud", &known).0);
        assert!(accounts.bind("cloud", known.as_str()));
        assert_eq!(accounts.account("cloud", &known), "");
        assert_eq!(accounts.account("other", &known), "1");
    }
}
