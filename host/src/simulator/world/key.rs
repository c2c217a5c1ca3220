//! Public keys that droplets can be created with.

use md5::{Digest, Md5};

use super::World;
use crate::simulator::refusal::Refusal;

const KINDS: [&str; 6] = [
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-ed25519",
];

#[derive(Clone, Debug)]
pub(in crate::simulator) struct Key {
    pub(in crate::simulator) id: i64,
    pub(in crate::simulator) name: String,
    pub(in crate::simulator) fingerprint: String,
    pub(in crate::simulator) public_key: String,
}

impl World {
    /// Adds a key to the account.
    ///
    /// # Errors
    /// 422 with the provider's words for something that is no key, and for a key that the account has.
    pub(in crate::simulator) fn add_key(&mut self, name: String, public_key: String) -> Result<Key, Refusal> {
        let fingerprint = fingerprint(&public_key).map_err(Refusal::unprocessable)?;
        if self.keys.values().any(|key| key.fingerprint == fingerprint) {
            return Err(Refusal::unprocessable(
                "SSH Key is already in use on your account",
            ));
        }
        let key = Key {
            id: Self::mint(&mut self.rng, &mut self.next.key),
            name,
            fingerprint,
            public_key,
        };
        self.keys.insert(key.id, key.clone());
        Ok(key)
    }
}

/// The MD5 of the key itself in hexadecimal pairs, as `ssh-keygen -E md5 -l` prints it: clients compute it on their own and
/// look for it in the listing.
fn fingerprint(public_key: &str) -> Result<String, String> {
    let mut fields = public_key.split_whitespace();
    let (Some(kind), Some(key)) = (fields.next(), fields.next()) else {
        return Err("Key invalid, key should be of the format `type key [comment]`".into());
    };
    if !KINDS.contains(&kind) {
        let kinds = KINDS.map(|kind| format!("'{kind}'")).join(", ");
        return Err(format!("Key invalid type, we support {kinds}"));
    }
    let bytes = data_encoding::BASE64.decode(key.as_bytes());
    let bytes =
        bytes.map_err(|_| "Fingerprint could not be generated, please make sure your key is valid")?;
    let pairs = Md5::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>();
    Ok(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlHgyUFeTiTt+TSUfogO7nAA5XH6tVP/tNFXAa1OEFy laptop";

    #[test]
    fn a_fingerprint_is_the_one_that_ssh_keygen_prints() {
        assert_eq!(
            fingerprint(KEY).as_deref(),
            Ok("4d:17:14:2c:02:b6:68:e7:97:cc:c9:0a:b6:27:5e:da")
        );
    }

    #[test]
    fn what_is_no_key_is_refused_in_the_providers_words() {
        for (text, beginning) in [
            ("laptop", "Key invalid, key should be of the format"),
            (
                "---- BEGIN SSH2 PUBLIC KEY ----",
                "Key invalid type, we support 'ssh-rsa', ",
            ),
            ("ssh-rsa AAAAB3replace_me", "Fingerprint could not be generated"),
        ] {
            let refused = fingerprint(text).unwrap_err();
            assert!(refused.starts_with(beginning), "{refused}");
        }
    }
}
