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

    /// Where tokens are issued, without a slash at the end.
    #[must_use]
    pub const fn login_root(self) -> &'static str {
        self.addresses().login
    }

    /// Graph's root without the version and without a slash at the end; also the resource tokens are issued for.
    #[must_use]
    pub const fn graph_root(self) -> &'static str {
        self.addresses().graph
    }

    /// Exchange Online's root, likewise.
    #[must_use]
    pub const fn exchange_root(self) -> &'static str {
        self.addresses().exchange
    }

    /// The table. Microsoft's pages name two login hosts for China; this is the one that the Graph pages and MSAL use.
    const fn addresses(self) -> Addresses {
        match self {
            Cloud::Global => Addresses {
                login: "https://login.microsoftonline.com",
                graph: "https://graph.microsoft.com",
                exchange: "https://outlook.office365.com",
            },
            Cloud::UsGov => Addresses {
                login: "https://login.microsoftonline.us",
                graph: "https://graph.microsoft.us",
                exchange: "https://outlook.office365.us",
            },
            Cloud::UsGovDod => Addresses {
                login: "https://login.microsoftonline.us",
                graph: "https://dod-graph.microsoft.us",
                exchange: "https://outlook-dod.office365.us",
            },
            Cloud::China => Addresses {
                login: "https://login.chinacloudapi.cn",
                graph: "https://microsoftgraph.chinacloudapi.cn",
                exchange: "https://outlook.office365.cn",
            },
        }
    }
}

/// Where a cloud serves what.
struct Addresses {
    login: &'static str,
    graph: &'static str,
    exchange: &'static str,
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
