//! Microsoft's clouds and where each of them signs in and serves Graph and Exchange: the one table of these addresses
//! (Microsoft's pages on Graph deployments, on authentication in national clouds and on Exchange's admin API). Tokens of
//! one cloud are worth nothing in another.

/// A Microsoft cloud; its addresses are hosts that are reached over HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cloud {
    /// The name in a connection file.
    pub name: &'static str,
    /// Where tokens are issued.
    pub login: &'static str,
    /// Graph, which tokens are issued for.
    pub graph: &'static str,
    /// Exchange Online, likewise.
    pub exchange: &'static str,
}

impl Cloud {
    /// All of them, in the order in which they are offered to people: the worldwide one, GCC included; US Government L4, called
    /// GCC High; L5, for the Department of Defense; China, run by 21Vianet. Microsoft's pages name two login hosts for China;
    /// this is the one that the Graph pages and MSAL use.
    pub const ALL: [Cloud; 4] = [
        Cloud::new("global", "login.microsoftonline.com", "graph.microsoft.com", "outlook.office365.com"),
        Cloud::new("usgov", "login.microsoftonline.us", "graph.microsoft.us", "outlook.office365.us"),
        Cloud::new("usgov-dod", "login.microsoftonline.us", "dod-graph.microsoft.us", "outlook-dod.office365.us"),
        Cloud::new("china", "login.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn", "outlook.office365.cn"),
    ];
    /// The usual one.
    pub const GLOBAL: Cloud = Cloud::ALL[0];

    const fn new(name: &'static str, login: &'static str, graph: &'static str, exchange: &'static str) -> Cloud {
        Cloud { name, login, graph, exchange }
    }
}

#[cfg(test)]
mod tests {
    use super::Cloud;

    #[test]
    fn every_address_can_be_written_in_a_connection_file() {
        for cloud in Cloud::ALL {
            for host in [cloud.login, cloud.graph, cloud.exchange] {
                let url: reqwest::Url = format!("https://{host}").parse().unwrap();
                assert_eq!(url.as_str(), format!("https://{host}/"), "a host, no path");
            }
        }
    }
}
