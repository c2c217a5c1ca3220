//! Which endpoint a request addresses, and the scopes that it needs.

/// An endpoint with what its path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum Route {
    Account,
    ListKeys,
    CreateKey,
    GetKey(String),
    RenameKey(String),
    DeleteKey(String),
    ListActions,
    GetAction(i64),
    ListDroplets,
    CreateDroplets,
    DeleteDropletsByTag,
    GetDroplet(i64),
    DeleteDroplet(i64),
    ListDropletActions(i64),
    StartAction(i64),
    StartActionsByTag,
    GetDropletAction { droplet: i64, action: i64 },
    ListDropletSnapshots(i64),
    ListDropletBackups(i64),
    ListAssociated(i64),
    ListImages,
    GetImage(String),
    RenameImage(String),
    DeleteImage(String),
    ListRegions,
    ListSizes,
    ListSnapshots,
    GetSnapshot(String),
    DeleteSnapshot(String),
    ListTags,
    CreateTag,
    GetTag(String),
    DeleteTag(String),
    TagResources(String),
    UntagResources(String),
}

impl Route {
    /// None: no such endpoint, or an id that can't be one.
    pub(in crate::simulator) fn parse(method: &str, path: &str) -> Option<Self> {
        let segments: Vec<String> = path.trim_matches('/').split('/').map(percent_decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let id = |text: &str| text.parse::<i64>().ok().filter(|id| *id > 0);
        let route = match (method, segments.strip_prefix(&["v2"])?) {
            ("GET", ["account"]) => Self::Account,
            ("GET", ["account", "keys"]) => Self::ListKeys,
            ("POST", ["account", "keys"]) => Self::CreateKey,
            ("GET", ["account", "keys", key]) => Self::GetKey((*key).into()),
            ("PUT", ["account", "keys", key]) => Self::RenameKey((*key).into()),
            ("DELETE", ["account", "keys", key]) => Self::DeleteKey((*key).into()),
            ("GET", ["actions"]) => Self::ListActions,
            ("GET", ["actions", action]) => Self::GetAction(id(action)?),
            ("GET", ["droplets"]) => Self::ListDroplets,
            ("POST", ["droplets"]) => Self::CreateDroplets,
            ("DELETE", ["droplets"]) => Self::DeleteDropletsByTag,
            ("POST", ["droplets", "actions"]) => Self::StartActionsByTag,
            ("GET", ["droplets", droplet]) => Self::GetDroplet(id(droplet)?),
            ("DELETE", ["droplets", droplet]) => Self::DeleteDroplet(id(droplet)?),
            ("GET", ["droplets", droplet, "actions"]) => Self::ListDropletActions(id(droplet)?),
            ("POST", ["droplets", droplet, "actions"]) => Self::StartAction(id(droplet)?),
            ("GET", ["droplets", droplet, "actions", action]) => Self::GetDropletAction {
                droplet: id(droplet)?,
                action: id(action)?,
            },
            ("GET", ["droplets", droplet, "snapshots"]) => Self::ListDropletSnapshots(id(droplet)?),
            ("GET", ["droplets", droplet, "backups"]) => Self::ListDropletBackups(id(droplet)?),
            ("GET", ["droplets", droplet, "destroy_with_associated_resources"]) => {
                Self::ListAssociated(id(droplet)?)
            }
            ("GET", ["images"]) => Self::ListImages,
            ("GET", ["images", image]) => Self::GetImage((*image).into()),
            ("PUT", ["images", image]) => Self::RenameImage((*image).into()),
            ("DELETE", ["images", image]) => Self::DeleteImage((*image).into()),
            ("GET", ["regions"]) => Self::ListRegions,
            ("GET", ["sizes"]) => Self::ListSizes,
            ("GET", ["snapshots"]) => Self::ListSnapshots,
            ("GET", ["snapshots", snapshot]) => Self::GetSnapshot((*snapshot).into()),
            ("DELETE", ["snapshots", snapshot]) => Self::DeleteSnapshot((*snapshot).into()),
            ("GET", ["tags"]) => Self::ListTags,
            ("POST", ["tags"]) => Self::CreateTag,
            ("GET", ["tags", tag]) => Self::GetTag((*tag).into()),
            ("DELETE", ["tags", tag]) => Self::DeleteTag((*tag).into()),
            ("POST", ["tags", tag, "resources"]) => Self::TagResources((*tag).into()),
            ("DELETE", ["tags", tag, "resources"]) => Self::UntagResources((*tag).into()),
            _ => return None,
        };
        Some(route)
    }

    /// The scopes that the documentation asks for; all are needed. More can follow from the body.
    pub(in crate::simulator) fn scopes(&self) -> &'static [&'static str] {
        match self {
            Self::Account => &["account:read"],
            Self::ListKeys | Self::GetKey(_) => &["ssh_key:read"],
            Self::CreateKey => &["ssh_key:create"],
            Self::RenameKey(_) => &["ssh_key:update"],
            Self::DeleteKey(_) => &["ssh_key:delete"],
            Self::ListActions | Self::GetAction(_) => &["actions:read"],
            Self::ListDroplets
            | Self::GetDroplet(_)
            | Self::ListDropletActions(_)
            | Self::GetDropletAction { .. }
            | Self::ListDropletSnapshots(_)
            | Self::ListDropletBackups(_)
            | Self::ListAssociated(_) => &["droplet:read"],
            Self::CreateDroplets => &["droplet:create"],
            Self::DeleteDroplet(_) => &["droplet:delete"],
            Self::DeleteDropletsByTag => &["droplet:delete", "tag:read"],
            Self::StartAction(_) | Self::StartActionsByTag => &["droplet:update"],
            Self::ListImages | Self::GetImage(_) => &["image:read"],
            Self::RenameImage(_) => &["image:update"],
            Self::DeleteImage(_) => &["image:delete"],
            Self::ListRegions => &["regions:read"],
            Self::ListSizes => &["sizes:read", "regions:read"],
            Self::ListSnapshots | Self::GetSnapshot(_) => &["snapshot:read"],
            Self::DeleteSnapshot(_) => &["snapshot:delete"],
            Self::ListTags | Self::GetTag(_) => &["tag:read"],
            Self::CreateTag | Self::TagResources(_) => &["tag:create"],
            Self::DeleteTag(_) | Self::UntagResources(_) => &["tag:delete"],
        }
    }

    /// The droplet that the path names.
    pub(in crate::simulator) fn droplet(&self) -> Option<i64> {
        match self {
            Self::GetDroplet(droplet)
            | Self::DeleteDroplet(droplet)
            | Self::ListDropletActions(droplet)
            | Self::StartAction(droplet)
            | Self::GetDropletAction { droplet, .. }
            | Self::ListDropletSnapshots(droplet)
            | Self::ListDropletBackups(droplet)
            | Self::ListAssociated(droplet) => Some(*droplet),
            _ => None,
        }
    }
}

fn percent_decode(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| *first == b'%');
        let decoded = escaped
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = if decoded.is_some() { &tail[2..] } else { tail };
        bytes.push(decoded.unwrap_or(*first));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_endpoint_only_with_a_whole_positive_id() {
        let parse = |path| Route::parse("GET", path);
        assert_eq!(parse("/v2/droplets/5"), Some(Route::GetDroplet(5)));
        assert_eq!(parse("/v2/droplets/0"), None);
        assert_eq!(parse("/v2/droplets/5x"), None);
        assert_eq!(parse("/v1/droplets/5"), None);
        assert_eq!(parse("/v2/droplets/5/kernels"), None);
    }

    #[test]
    fn an_escaped_tag_is_the_same_tag() {
        let tag = Route::parse("GET", "/v2/tags/a%3Ab%");
        assert_eq!(tag, Some(Route::GetTag("a:b%".into())));
    }
}
