//! Microsoft's clouds and where each of them signs in and serves Graph and Exchange: the one table of these addresses
//! (Microsoft's pages on Graph deployments, on authentication in national clouds and on Exchange's admin API). Tokens of
//! one cloud are worth nothing in another.

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
        self.facts()[0]
    }

    /// Where tokens are issued, without a slash at the end.
    #[must_use]
    pub const fn login_root(self) -> &'static str {
        self.facts()[1]
    }

    /// Graph's root without the version and without a slash at the end; also the resource tokens are issued for.
    #[must_use]
    pub const fn graph_root(self) -> &'static str {
        self.facts()[2]
    }

    /// Exchange Online's root, likewise.
    #[must_use]
    pub const fn exchange_root(self) -> &'static str {
        self.facts()[3]
    }

    /// Name, login, Graph, Exchange. Microsoft's pages name two login hosts for China; this is the one that the Graph pages and MSAL use.
    const fn facts(self) -> [&'static str; 4] {
        match self {
            Cloud::Global => [
                "global",
                "https://login.microsoftonline.com",
                "https://graph.microsoft.com",
                "https://outlook.office365.com",
            ],
            Cloud::UsGov => [
                "usgov",
                "https://login.microsoftonline.us",
                "https://graph.microsoft.us",
                "https://outlook.office365.us",
            ],
            Cloud::UsGovDod => [
                "usgov-dod",
                "https://login.microsoftonline.us",
                "https://dod-graph.microsoft.us",
                "https://outlook-dod.office365.us",
            ],
            Cloud::China => [
                "china",
                "https://login.chinacloudapi.cn",
                "https://microsoftgraph.chinacloudapi.cn",
                "https://outlook.office365.cn",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cloud;

    #[test]
    fn every_address_can_be_written_in_a_connection_file() {
        for cloud in Cloud::ALL {
            for root in [cloud.login_root(), cloud.graph_root(), cloud.exchange_root()] {
                let url: reqwest::Url = root.parse().unwrap();
                assert_eq!(url.scheme(), "https");
                assert_eq!(format!("{root}/"), url.as_str(), "no slash at the end, no path");
            }
        }
    }
}
