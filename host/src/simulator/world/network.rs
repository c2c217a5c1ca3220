//! The addresses that a droplet gets when it becomes active.

use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};

/// Invents addresses; the order of the v4 entries is random, since clients must pick by type.
pub(super) fn assign(rng: &mut StdRng, public: bool, ipv6: bool) -> Value {
    let (host, node): (u8, u8) = (rng.random(), rng.random_range(2..=254));
    let mut v4 = vec![json!({
        "ip_address": format!("10.135.{host}.{node}"),
        "netmask": "255.255.0.0",
        "gateway": "nil",
        "type": "private",
    })];
    if public {
        // 203.0.113.0/24 and 198.51.100.0/24 are set aside for documentation.
        let network = ["203.0.113", "198.51.100"][usize::from(host % 2)];
        v4.push(json!({
            "ip_address": format!("{network}.{node}"),
            "netmask": "255.255.255.0",
            "gateway": format!("{network}.1"),
            "type": "public",
        }));
    }
    v4.shuffle(rng);
    let v6 = if ipv6 && public { v6(rng) } else { json!([]) };
    json!({"v4": v4, "v6": v6})
}

/// The v6 entries of a droplet that has IPv6, from 2001:db8::/32, which is set aside for documentation.
pub(super) fn v6(rng: &mut StdRng) -> Value {
    let (host, node): (u8, u8) = (rng.random(), rng.random_range(2..=254));
    json!([{
        "ip_address": format!("2001:db8:0:{host:x}::{node:x}"),
        "netmask": 64,
        "gateway": format!("2001:db8:0:{host:x}::1"),
        "type": "public",
    }])
}

/// What a droplet shows before it is active.
pub(super) fn none() -> Value {
    json!({"v4": [], "v6": []})
}
