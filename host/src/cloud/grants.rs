//! What is granted when two lists have to agree: what a component asks for, and what was approved.

use super::{Grant, policy::covers};

/// Everything that both lists allow.
pub fn common(asked: &[Grant], approved: &[Grant]) -> Vec<Grant> {
    let mut common = Vec::new();
    for one in asked {
        for other in approved.iter().filter(|other| other.service == one.service) {
            let methods: Vec<String> = one
                .methods
                .iter()
                .filter(|method| other.methods.contains(method))
                .cloned()
                .collect();
            let path_prefixes: Vec<String> = one
                .path_prefixes
                .iter()
                .flat_map(|prefix| {
                    other
                        .path_prefixes
                        .iter()
                        .filter_map(|with| narrower(prefix, with))
                })
                .collect();
            if !methods.is_empty() && !path_prefixes.is_empty() {
                common.push(Grant {
                    service: one.service.clone(),
                    methods,
                    path_prefixes,
                });
            }
        }
    }
    common
}

/// The first of `wanted` that goes beyond what is asked.
pub fn first_beyond(asked: &[Grant], wanted: &[Grant]) -> Option<usize> {
    let within = |service: &str, method: &String, prefix: &str| {
        asked.iter().any(|grant| {
            grant.service == service
                && grant.methods.contains(method)
                && grant.path_prefixes.iter().any(|wide| covers(wide, prefix))
        })
    };
    wanted.iter().position(|grant| {
        let mut each = grant
            .methods
            .iter()
            .flat_map(|method| grant.path_prefixes.iter().map(move |prefix| (method, prefix)));
        !each.all(|(method, prefix)| within(&grant.service, method, prefix))
    })
}

fn narrower(one: &str, other: &str) -> Option<String> {
    if covers(one, other) {
        Some(other.to_owned())
    } else if covers(other, one) {
        Some(one.to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(service: &str, methods: &[&str], path_prefixes: &[&str]) -> Grant {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Grant {
            service: service.to_owned(),
            methods: owned(methods),
            path_prefixes: owned(path_prefixes),
        }
    }

    #[test]
    fn what_both_lists_allow_is_the_narrower_of_each_pair() {
        let asked = [
            grant("do", &["GET", "POST"], &["/v2/droplets", "/v2/tags"]),
            grant("dns", &["GET"], &["/"]),
        ];
        let approved = [
            grant("do", &["GET", "DELETE"], &["/v2", "/v2/droplets/7"]),
            grant("mail", &["POST"], &["/"]),
        ];
        let expected = grant("do", &["GET"], &["/v2/droplets", "/v2/droplets/7", "/v2/tags"]);
        assert_eq!(common(&asked, &approved), [expected]);
        assert_eq!(common(&asked, &asked)[0].methods, ["GET", "POST"]);
        assert_eq!(common(&asked, &[]), []);
        let beside = [grant("do", &["GET"], &["/v2/droplets2"])];
        assert_eq!(common(&asked, &beside), []);
    }

    #[test]
    fn what_goes_beyond_the_asked_is_found_by_its_place() {
        let asked = [grant("do", &["GET", "POST"], &["/v2/droplets"])];
        let within = grant("do", &["GET"], &["/v2/droplets/7"]);
        assert_eq!(first_beyond(&asked, &[within.clone(), asked[0].clone()]), None);
        for beyond in [
            grant("dns", &["GET"], &["/v2/droplets"]),
            grant("do", &["DELETE"], &["/v2/droplets"]),
            grant("do", &["GET"], &["/v2"]),
            grant("do", &["GET"], &["/v2/droplets", "/v2/dropletsX"]),
            grant("do", &["GET"], &["v2/droplets"]),
        ] {
            assert_eq!(
                first_beyond(&asked, &[within.clone(), beyond.clone()]),
                Some(1),
                "{beyond:?}"
            );
        }
    }
}
