//! The rules of the world, on made-up time and without a socket.

use serde_json::{Value, json};

use super::*;
use crate::simulator::{
    options::{DeleteWhileNew, Lag},
    refusal::Refusal,
};

const START_MS: u64 = 1_000_000;

fn world(change: impl FnOnce(&mut Rules)) -> World {
    let mut rules = Rules::default();
    change(&mut rules);
    World::new(rules, 7)
}

fn wish() -> Value {
    json!({"name": "web-1", "region": "fra1", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64"})
}

/// Makes a droplet at the start, bent by a twist: its id and that of its create action.
fn create(world: &mut World, twist: &Twist) -> (i64, i64) {
    let order = world.check_order(&wish(), START_MS).unwrap();
    world.create(&order, twist, 1, START_MS)[0]
}

fn status(world: &World, droplet: i64) -> (Status, Presence) {
    let droplet = &world.droplets[&droplet];
    (droplet.status, droplet.presence)
}

fn start(world: &mut World, droplet: i64, body: Value, now_ms: u64) -> Result<i64, Refusal> {
    let request: ActionRequest = serde_json::from_value(body).unwrap();
    let started = world.start_action(droplet, &request, &Twist::default(), now_ms)?;
    Ok(started[0])
}

fn pending<T>() -> Result<T, Refusal> {
    Err(Refusal::pending_event())
}

#[test]
fn a_refused_create_says_why_in_the_providers_words() {
    let mut world = world(|rules| {
        rules.droplet_limit = 2;
        rules.unavailable_regions = vec!["nyc1".into()];
    });
    let key = world.add_key("laptop".into(), "ssh-ed25519 AAAA".into()).unwrap();
    let names = |count: usize| json!((0..count).map(|n| format!("w{n}")).collect::<Vec<_>>());
    let cases = [
        (json!({"name": null}), "Droplet must have a name"),
        (json!({"name": ""}), "Droplet must have a name"),
        (
            json!({"name": "under_score"}),
            "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)",
        ),
        (
            json!({"name": "ends-"}),
            "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)",
        ),
        (json!({"names": ["a"]}), "name and names can't be used together"),
        (
            json!({"name": null, "names": names(11)}),
            "at most 10 droplets can be created at once",
        ),
        (
            json!({"name": null, "names": names(3)}),
            "creating this/these droplet(s) will exceed your droplet limit",
        ),
        (
            json!({"size": "s-1vcpu"}),
            "You specified an invalid size for Droplet creation.",
        ),
        (
            json!({"size": null}),
            "You specified an invalid size for Droplet creation.",
        ),
        (
            json!({"region": "mars1"}),
            "You specified an invalid region for Droplet creation.",
        ),
        (json!({"region": "nyc1"}), "Region is not available"),
        (
            json!({"region": "lon1", "size": "s-1vcpu-512mb-10gb"}),
            "Size is not available in this region.",
        ),
        (
            json!({"image": "my-snapshot"}),
            "You specified an invalid image for Droplet creation.",
        ),
        (
            json!({"image": 5_000_000_001_i64}),
            "You specified an invalid image for Droplet creation.",
        ),
        (
            json!({"image": null}),
            "You specified an invalid image for Droplet creation.",
        ),
        (
            json!({"ssh_keys": [key.id, 12]}),
            "12 are invalid key identifiers for Droplet creation.",
        ),
        (
            json!({"user_data": "x".repeat(65_537)}),
            "user_data is larger than 64 KiB",
        ),
        (
            json!({"public_networking": false, "ipv6": true}),
            "ipv6 can't be enabled without public networking",
        ),
        (json!({"tags": ["ok", "no.dots"]}), "tag name is invalid: no.dots"),
    ];
    for (change, message) in cases {
        let mut body = wish();
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let refused = world.check_order(&body, START_MS).unwrap_err();
        assert_eq!(refused, Refusal::unprocessable(message), "{change}");
    }
    let mut body = wish();
    body["ssh_keys"] = json!([key.id, key.fingerprint]);
    body["user_data"] = json!("x".repeat(65_536));
    body["tags"] = json!(["a:b_c-1"]);
    assert!(world.check_order(&body, START_MS).is_ok());
    assert_eq!(world.check_order(&json!([]), START_MS).unwrap_err().status, 400);
    assert_eq!(world.live_droplets().count(), 0);
}

#[test]
fn many_names_make_as_many_droplets_each_with_its_own_action() {
    let mut world = world(|_| {});
    let mut body = wish();
    body.as_object_mut().unwrap().remove("name");
    body["names"] = json!(["same", "same", "other"]);
    let order = world.check_order(&body, START_MS).unwrap();
    let created = world.create(&order, &Twist::default(), 1, START_MS);
    assert!(order.many);
    assert_eq!((world.droplets.len(), world.actions.len()), (3, 3));
    let names: Vec<&str> = world
        .droplets
        .values()
        .map(|droplet| droplet.name.as_str())
        .collect();
    assert_eq!(names, ["same", "same", "other"]);
    for (droplet, action) in created {
        assert_eq!(world.droplets[&droplet].running_action, Some(action));
        assert_eq!(world.actions[&action].droplet, droplet);
    }
}

#[test]
fn the_create_action_may_end_before_or_after_the_activation() {
    for (skew_ms, action_ends_ms) in [(-500, 19_500), (0, 20_000), (500, 20_500)] {
        let mut world = world(|rules| rules.create_action_skew_ms = skew_ms);
        let (droplet, action) = create(&mut world, &Twist::default());
        world.settle(START_MS + action_ends_ms - 1);
        assert_eq!(world.actions[&action].status, ActionStatus::InProgress);
        world.settle(START_MS + action_ends_ms);
        assert_eq!(world.actions[&action].status, ActionStatus::Completed);
        assert_eq!(world.actions[&action].ended_ms, Some(START_MS + action_ends_ms));
        world.settle(START_MS + 20_000);
        assert_eq!(status(&world, droplet), (Status::Active, Presence::Here));
    }
}

#[test]
fn one_settling_equals_many_small_ones() {
    let run = |steps: u64| {
        let mut world = world(|_| {});
        let flapping = Twist {
            birth: Birth::Activation(Activation::Flapping { period_ms: 3_000 }),
            ..Twist::default()
        };
        let (droplet, _) = create(&mut world, &flapping);
        create(&mut world, &Twist::default());
        for step in 1..=steps {
            world.settle(START_MS + 60_000 * step / steps);
        }
        let droplet = world.droplet_json(&world.droplets[&droplet], START_MS + 60_000);
        (droplet, format!("{:?}", world.actions))
    };
    assert_eq!(run(1), run(977));
}

#[test]
fn a_delete_of_a_new_droplet_follows_the_rule() {
    let leaving = (Status::New, Presence::Leaving);
    let here = (Status::New, Presence::Here);
    for (rule, answer, then) in [
        (DeleteWhileNew::Accepted, Ok(true), leaving),
        (DeleteWhileNew::Refused, pending(), here),
        (DeleteWhileNew::Ignored, Ok(false), here),
    ] {
        let mut world = world(|rules| rules.delete_while_new = rule);
        let (droplet, action) = create(&mut world, &Twist::default());
        let deleted = world.delete_droplet(droplet, &Twist::default(), START_MS);
        assert_eq!(deleted, answer);
        assert_eq!(status(&world, droplet), then);
        world.settle(START_MS + 60_000);
        let gone = world.droplets[&droplet].is_gone();
        assert_eq!(gone, rule == DeleteWhileNew::Accepted);
        let errored = world.actions[&action].status == ActionStatus::Errored;
        assert_eq!(errored, gone);
    }
}

#[test]
fn a_droplet_whose_create_action_errored_can_be_deleted_under_every_rule() {
    for rule in [DeleteWhileNew::Refused, DeleteWhileNew::Ignored] {
        let mut world = world(|rules| rules.delete_while_new = rule);
        let errs = Twist {
            birth: Birth::ActionErrors { after_ms: 10 },
            ..Twist::default()
        };
        let (droplet, _) = create(&mut world, &errs);
        world.settle(START_MS + 10);
        let deleted = world.delete_droplet(droplet, &Twist::default(), START_MS + 10);
        assert_eq!(deleted, Ok(true));
    }
}

#[test]
fn one_action_runs_at_a_time_and_each_does_what_it_says() {
    let mut world = world(|_| {});
    let (droplet, _) = create(&mut world, &Twist::default());
    let mut now_ms = START_MS;
    let power_off = json!({"type": "power_off"});
    assert_eq!(start(&mut world, droplet, power_off.clone(), now_ms), pending());
    now_ms += 20_000;
    world.settle(now_ms);
    let early = json!({"type": "resize", "size": "s-2vcpu-4gb", "disk": true});
    assert_eq!(
        start(&mut world, droplet, early.clone(), now_ms)
            .unwrap_err()
            .status,
        422
    );

    for body in [
        power_off,
        early,
        json!({"type": "rename", "name": "renamed"}),
        json!({"type": "rebuild", "image": "debian-13-x64"}),
        json!({"type": "power_on"}),
        json!({"type": "snapshot", "name": "kept"}),
    ] {
        start(&mut world, droplet, body, now_ms).unwrap();
        assert_eq!(
            start(&mut world, droplet, json!({"type": "reboot"}), now_ms),
            pending()
        );
        now_ms += 30_000;
        world.settle(now_ms);
    }
    let json = world.droplet_json(&world.droplets[&droplet], now_ms);
    let seen = json!([
        json["name"],
        json["size_slug"],
        json["disk"],
        json["image"]["slug"],
        json["status"]
    ]);
    assert_eq!(
        seen,
        json!(["renamed", "s-2vcpu-4gb", 80, "debian-13-x64", "active"])
    );
    assert_eq!(json["snapshot_ids"].as_array().map(Vec::len), Some(1));
    let completed = |action: &&Action| action.status == ActionStatus::Completed;
    assert_eq!(world.actions.values().filter(completed).count(), 7);
}

#[test]
fn features_are_switched_and_a_restore_writes_the_disk() {
    let mut world = world(|_| {});
    let (droplet, _) = create(&mut world, &Twist::default());
    let mut now_ms = START_MS + 20_000;
    world.settle(now_ms);
    let seen = |world: &World, now_ms| {
        let json = world.droplet_json(&world.droplets[&droplet], now_ms);
        let has = |feature: &str| json["features"].as_array().unwrap().contains(&json!(feature));
        let addresses = json["networks"]["v6"].as_array().map_or(0, Vec::len);
        (
            has("backups"),
            has("ipv6"),
            addresses,
            json["image"]["type"].clone(),
        )
    };
    assert_eq!(seen(&world, now_ms), (false, false, 0, json!("base")));
    for (body, after) in [
        (json!({"type": "enable_backups"}), (true, false, 0, json!("base"))),
        (json!({"type": "enable_ipv6"}), (true, true, 1, json!("base"))),
        (
            json!({"type": "enable_private_networking"}),
            (true, true, 1, json!("base")),
        ),
        (
            json!({"type": "disable_backups"}),
            (false, true, 1, json!("base")),
        ),
        (
            json!({"type": "snapshot", "name": "kept"}),
            (false, true, 1, json!("base")),
        ),
        (
            json!({"type": "restore", "image": "latest"}),
            (false, true, 1, json!("snapshot")),
        ),
    ] {
        let mut body = body;
        if let Some(snapshot) = world.snapshots.keys().next() {
            body["image"] = json!(snapshot);
        }
        let action = start(&mut world, droplet, body.clone(), now_ms).unwrap();
        assert_eq!(json!(world.actions[&action].change.kind()), body["type"]);
        now_ms += 30_000;
        world.settle(now_ms);
        assert_eq!(seen(&world, now_ms), after, "{body}");
    }
    for body in [
        json!({"type": "restore", "image": 1}),
        json!({"type": "change_kernel", "kernel": 1}),
    ] {
        let refused = start(&mut world, droplet, body.clone(), now_ms).unwrap_err();
        assert_eq!(refused.status, 422, "{body}");
    }
}

#[test]
fn an_action_on_a_droplet_that_goes_away_errors_and_leaves_no_snapshot() {
    let mut world = world(|_| {});
    let (droplet, _) = create(&mut world, &Twist::default());
    let now_ms = START_MS + 20_000;
    world.settle(now_ms);
    let body = json!({"type": "snapshot", "name": "lost"});
    let action = start(&mut world, droplet, body, now_ms).unwrap();
    world.drift(droplet, &Drift::Delete, now_ms + 1).unwrap();
    world.settle(now_ms + 60_000);
    assert_eq!(world.actions[&action].status, ActionStatus::Errored);
    assert_eq!(world.actions[&action].ended_ms, Some(now_ms + 1));
    assert!(world.snapshots.is_empty());
}

#[test]
fn each_way_of_looking_has_its_own_lag() {
    let lag = Lag {
        list_ms: 1,
        tag_ms: 2,
        name_ms: 3,
        get_ms: 4,
    };
    let mut world = world(|rules| rules.lag = lag);
    let (droplet, _) = create(&mut world, &Twist::default());
    assert!(world.droplet(droplet, START_MS + 3).is_err());
    assert!(world.droplet(droplet, START_MS + 4).is_ok());
    let droplet = &world.droplets[&droplet];
    assert!(!droplet.is_seen(START_MS + 1, droplet.lag.tag_ms));
    assert!(droplet.is_seen(START_MS + 2, droplet.lag.tag_ms));
}

#[test]
fn the_first_spelling_of_a_tag_is_kept_until_the_tag_is_deleted() {
    let mut tags = TagIndex::default();
    assert_eq!(tags.intern("Arcadia:Web"), "Arcadia:Web");
    assert_eq!(tags.intern("arcadia:web"), "Arcadia:Web");
    assert_eq!(tags.find("ARCADIA:WEB"), Some("Arcadia:Web"));
    assert_eq!(tags.remove("arcadia:WEB").as_deref(), Some("Arcadia:Web"));
    assert_eq!(tags.intern("arcadia:web"), "arcadia:web");
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let made = |seed| {
        let mut world = World::new(Rules::default(), seed);
        let (droplet, _) = create(&mut world, &Twist::default());
        world.settle(START_MS + 20_000);
        world.droplet_json(&world.droplets[&droplet], START_MS + 20_000)
    };
    assert_eq!(made(3), made(3));
    assert_ne!(made(3), made(4));
}
