//! Microsoft's clouds and where each of them signs in and serves Graph (Microsoft's pages on Graph deployments and on
//! authentication in national clouds). Tokens of one cloud are worth nothing in another.

/// A Microsoft cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// The worldwide cloud, GCC included.
    Global,
    /// US Government L4, called GCC High.
    UsGov,
    /// US Government L5, for the Department of Defense.
    UsGovDod,
    /// China, run by 21Vianet.
    China,
}

impl Cloud {
    /// All of them, in the order in which they are offered to people.
    pub const ALL: [Cloud; 4] = [Cloud::Global, Cloud::UsGov, Cloud::UsGovDod, Cloud::China];

    /// The name in a connection file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cloud::Global => "global",
            Cloud::UsGov => "usgov",
            Cloud::UsGovDod => "usgov-dod",
            Cloud::China => "china",
        }
    }

    /// The cloud of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Cloud> {
        Cloud::ALL.into_iter().find(|cloud| cloud.name() == name)
    }

    /// Where tokens are issued, without a slash at the end. Microsoft's pages name two hosts for China; this is the
    /// one that the Graph pages and MSAL use.
    #[must_use]
    pub const fn login_root(self) -> &'static str {
        match self {
            Cloud::Global => "https://login.microsoftonline.com",
            Cloud::UsGov | Cloud::UsGovDod => "https://login.microsoftonline.us",
            Cloud::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Graph's root without the version and without a slash at the end; also the resource tokens are issued for.
    #[must_use]
    pub const fn graph_root(self) -> &'static str {
        match self {
            Cloud::Global => "https://graph.microsoft.com",
            Cloud::UsGov => "https://graph.microsoft.us",
            Cloud::UsGovDod => "https://dod-graph.microsoft.us",
            Cloud::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cloud;

    #[test]
    fn names_lead_back_to_their_clouds() {
        for cloud in Cloud::ALL {
            assert_eq!(Cloud::named(cloud.name()), Some(cloud));
        }
        assert_eq!(Cloud::named("Global"), None);
    }
}
