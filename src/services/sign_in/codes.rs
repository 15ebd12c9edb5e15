//! Codes of the sign-in, and what to do about each.
//!
//! The AADSTS numbers are from Microsoft's page on Entra authentication error codes, but for 900023, which the service
//! sends and the page leaves out. The page warns that numbers may change: nothing but this advice depends on them.

use crate::services::Class;
use crate::services::codes::{KnownCode, Speaker};

use super::PENDING;

const fn refused(code: &'static str, advice: &'static str) -> KnownCode {
    KnownCode::new(code, Class::SignIn, Speaker::SignIn).advising(advice)
}

const fn passing(code: &'static str, note: &'static str) -> KnownCode {
    KnownCode::new(code, Class::NotSent, Speaker::SignIn).noting(note)
}

const NO_SUCH_TENANT: &str = "there is no such tenant: check `tenant` and `cloud`";
const ENTER_AGAIN: &str = "run it again, open the address in a browser and enter the code within a quarter of an hour";
const GOOD_CERTIFICATE: &str = "put a good certificate and its private key into that file; it is read for every try";
const AZ_LOGIN: &str = "run `az login --tenant …` with the connection file's tenant, and before it `az cloud set` where that is \
     not in the global cloud";

/// Entra's, the certificate's (`certificate.rs`) and those of the other ways to sign in.
pub(in crate::services) const CODES: &[KnownCode] = &[
    refused("AADSTS7000215", "the secret is wrong: use the secret's value, not its id, and the secret of this app"),
    refused(
        "AADSTS7000222",
        "the secret has expired: add a new one to the app registration; where the connection file names a secret file, write it \
         there, and it is read again for the next try; where it names a variable, stop the run, set the variable, and `cutover \
         resume`",
    ),
    refused("AADSTS700016", "the tenant does not know this client_id: check both, and the cloud"),
    refused("AADSTS7000112", "the app is disabled in this tenant: enable its enterprise application"),
    refused("AADSTS90002", NO_SUCH_TENANT),
    refused("AADSTS900023", NO_SUCH_TENANT),
    refused("AADSTS53003", "conditional access blocks the app's sign-in: allow it from this address"),
    refused(
        "AADSTS700027",
        "the app does not know this certificate: upload it to the app registration, and check the client_id",
    ),
    refused("AADSTS700024", "this machine's clock is wrong: set it"),
    refused(
        "AADSTS7000218",
        "the app is no public client: allow public client flows in its registration, under Authentication",
    ),
    refused("AADSTS65001", "nobody has consented to what the app asks for: give it admin consent"),
    refused("AADSTS500011", "this tenant does not have the service that was asked for: check `tenant` and `cloud`"),
    refused(PENDING, "the account that signs in must be allowed to do what the job does"),
    refused("expired_token", ENTER_AGAIN),
    refused("authorization_declined", ENTER_AGAIN),
    refused("secret-file", "write the secret into that file, on one line; it is read for every try"),
    refused("certificate-unreadable", GOOD_CERTIFICATE),
    refused("certificate-incomplete", GOOD_CERTIFICATE),
    refused("certificate-key", GOOD_CERTIFICATE),
    refused("certificate-mismatch", GOOD_CERTIFICATE),
    refused("certificate-not-yet-valid", "check this machine's clock"),
    refused(
        "certificate-expired",
        "make a new certificate, upload it to the app registration, and put it with its key into that file; it is read for \
         every try",
    ),
    refused(
        "no-managed-identity",
        "this machine has no managed identity, or is not in Azure: assign one to it, or sign in another way",
    ),
    refused(
        "azure-cli-missing",
        "install the Azure CLI and run `az login`, or sign in another way (`auth` in the connection file)",
    ),
    refused("azure-cli-failed", AZ_LOGIN),
    refused("azure-cli-unreadable", AZ_LOGIN),
    passing("azure-cli-timeout", "the Azure CLI did not end in time"),
    passing("sign-in-unreadable", "the sign-in service sent a reply that cannot be read"),
    passing("sign-in-not-connected", "no connection to the sign-in service could be made"),
    passing("sign-in-timeout", "the sign-in service did not reply in time"),
    passing("sign-in-connection-lost", "the connection to the sign-in service was lost before its reply was complete"),
];

/// What the form of a code tells, where its name is in no table.
pub(in crate::services) fn by_form(code: &str) -> Option<KnownCode> {
    let of_service = |code| KnownCode::new(code, Class::SignIn, Speaker::SignIn);
    if code.starts_with("managed-identity/") {
        return Some(of_service("managed-identity/…").advising(
            "check that the identity is assigned to this machine; one that is user-assigned is named by `client_id`",
        ));
    }
    if is_number_after(code, "AADSTS") {
        return Some(of_service("AADSTS…"));
    }
    is_number_after(code, "sign-in-http-").then(|| of_service("sign-in-http-…"))
}

fn is_number_after(code: &str, prefix: &str) -> bool {
    let Some((head, digits)) = code.split_at_checked(prefix.len()) else {
        return false;
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    head.eq_ignore_ascii_case(prefix) && is_number
}
