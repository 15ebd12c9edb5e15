//! Whoever is signed in to the Azure CLI on this machine: its own program is asked for a token, which it keeps fresh.

use std::io::ErrorKind;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use super::reply::Granted;
use crate::core::Secret;
use crate::services::class::Class;
use crate::services::reply::Fault;

/// It takes seconds even when it has the token at hand.
const TIMEOUT: Duration = Duration::from_secs(60);
/// On Windows it is a batch file, which must be named as one.
const PROGRAM: &str = if cfg!(windows) { "az.cmd" } else { "az" };
/// How its messages name what the sign-in service said.
const SERVICE_CODE: &str = "AADSTS";

pub(in crate::services) struct AzureCli {
    pub(super) tenant: String,
    pub(super) resource: String,
}

#[derive(Deserialize)]
struct TokenOutput {
    #[serde(rename = "accessToken")]
    access_token: Secret,
    /// Seconds since 1970; versions before 2.54 lack it.
    expires_on: Option<u64>,
    /// In this machine's time zone.
    #[serde(rename = "expiresOn")]
    expires_on_local: String,
}

impl AzureCli {
    pub(super) async fn ask(&self) -> Result<Granted, Fault> {
        let missing =
            |why: String| Fault::sign_in("azure-cli-missing", format!("the Azure CLI's program `{PROGRAM}` {why}"));
        match timeout(TIMEOUT, self.command().output()).await {
            Ok(Ok(output)) => read(&output, SystemTime::now()),
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Err(missing("is not in PATH".to_owned())),
            Ok(Err(error)) => Err(missing(format!("cannot be started: {error}"))),
            Err(_) => {
                let message = format!("`{PROGRAM}` gave no token within {} s", TIMEOUT.as_secs());
                Err(Fault::new(Class::NotSent, "azure-cli-timeout", message))
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(["account", "get-access-token", "--output", "json"])
            .args(["--tenant", &self.tenant, "--resource", &self.resource])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

fn read(output: &Output, now: SystemTime) -> Result<Granted, Fault> {
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr)));
    }
    // The parser's own words could quote the token.
    let unreadable = || Fault::sign_in("azure-cli-unreadable", "the Azure CLI printed no token that can be read");
    let token: TokenOutput = serde_json::from_slice(&output.stdout).map_err(|_| unreadable())?;
    let in_s = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let ends = token.expires_on.map(in_s).or_else(|| local(&token.expires_on_local)).ok_or_else(unreadable)?;
    Ok(Granted { token: token.access_token, lifetime: ends.duration_since(now).unwrap_or_default(), refresh: None })
}

fn local(text: &str) -> Option<SystemTime> {
    let local: DateTime = text.parse().ok()?;
    Some(local.to_zoned(TimeZone::system()).ok()?.timestamp().into())
}

fn failed(words: &str) -> Fault {
    let code = words.find(SERVICE_CODE).map(|at| {
        let digits = words[at + SERVICE_CODE.len()..].chars().take_while(char::is_ascii_digit);
        format!("{SERVICE_CODE}{}", digits.collect::<String>())
    });
    let said = if words.trim().is_empty() { "the Azure CLI failed and did not say why" } else { words };
    Fault::sign_in(code.as_deref().unwrap_or("azure-cli-failed"), said)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    fn output(code: i32, stdout: &str, stderr: &str) -> Output {
        Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into(), stderr: stderr.into() }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_end_comes_in_seconds_or_in_local_time() {
        let both =
            r#"{"accessToken":"t","expiresOn":"1999-01-01 00:00:00.000000","expires_on":4600,"tokenType":"Bearer"}"#;
        let granted = read(&output(0, both, ""), at(1_000)).unwrap();
        assert_eq!(granted.lifetime, Duration::from_secs(3_600));
        assert_eq!(granted.token.expose(), "t");
        let local = r#"{"accessToken":"t","expiresOn":"2026-07-01 12:00:00.000000"}"#;
        let expected: DateTime = "2026-07-01T12:00:00".parse().unwrap();
        let expected = expected.to_zoned(TimeZone::system()).unwrap().timestamp();
        let now = SystemTime::from(expected) - Duration::from_secs(60);
        let granted = read(&output(0, local, ""), now).unwrap();
        assert_eq!(granted.lifetime, Duration::from_secs(60));
    }

    #[test]
    fn a_failure_is_told_in_the_programs_words_and_by_the_services_code() {
        let fault = read(&output(1, "", "ERROR: Please run 'az login'\n"), at(0)).unwrap_err();
        assert_eq!(
            (fault.class, fault.code.as_str(), fault.message.as_str()),
            (Class::SignIn, "azure-cli-failed", "ERROR: Please run 'az login'")
        );
        let expired = "ERROR: AADSTS700082: The refresh token has expired";
        assert_eq!(read(&output(1, "", expired), at(0)).unwrap_err().code, "AADSTS700082");
        let fault = read(&output(0, "{\"accessToken\": 7", ""), at(0)).unwrap_err();
        assert_eq!(fault.code, "azure-cli-unreadable");
    }
}
