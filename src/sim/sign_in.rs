//! How one may sign in to the simulated tenant: what an operator of a real one sets up in Entra, and troubles that come at
//! night. A test can change it while the tenant serves.

/// The client id of the tenant's user-assigned managed identity.
pub const IDENTITY_CLIENT_ID: &str = "1de27171-0000-4000-8000-00000000a99b";
/// What proves to the App Service endpoint that a request comes from the app: no secret, so it may stand in a source file.
pub const IDENTITY_HEADER: &str = "simulated-header-of-no-value";

/// A secret of the app. Like a real app it may have several, each with an end of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSecret {
    /// The secret itself.
    pub value: String,
    /// How long after the tenant's start it is good, in milliseconds; None means for ever.
    pub life_ms: Option<u64>,
}

/// What becomes of a device code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// Somebody signs in after it was asked for so many times in vain.
    AfterPolls(u32),
    /// Somebody declines after it was asked for so many times in vain.
    DeclinedAfterPolls(u32),
    /// Somebody enters it on the page `/devicelogin`.
    OnPage,
}

/// How one may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// The secrets that are registered with the app.
    pub secrets: Vec<AppSecret>,
    /// The certificates that are registered with it, as PEM.
    pub certificates: Vec<String>,
    /// Graph's root, which tokens are asked for: the mark of the cloud that this tenant is in.
    pub resource: String,
    /// What becomes of a device code.
    pub approval: Approval,
    /// How often a device code may be asked for, in seconds.
    pub interval_s: u64,
    /// How long a device code is good, in seconds.
    pub code_life_s: u64,
    /// How many more tokens a person's refresh tokens are good for; None means for ever.
    pub refreshes: Option<u32>,
    /// Whether every service that issues tokens answers 503.
    pub is_down: bool,
}

impl Default for SignIn {
    /// One secret without an end, no certificate, the global cloud, and somebody who signs in at once; Entra's figures.
    fn default() -> SignIn {
        SignIn {
            secrets: vec![AppSecret { value: super::CLIENT_SECRET.to_owned(), life_ms: None }],
            certificates: Vec::new(),
            resource: "https://graph.microsoft.com".to_owned(),
            approval: Approval::AfterPolls(1),
            interval_s: 5,
            code_life_s: 900,
            refreshes: None,
            is_down: false,
        }
    }
}
