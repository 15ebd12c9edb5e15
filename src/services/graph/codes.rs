//! Codes of Microsoft Graph, and our own for replies that did not come or cannot be read.
//!
//! From Microsoft's page on Graph errors (learn.microsoft.com/graph/errors) and from replies that were seen; where a code
//! stands on that page or in whose report is said beside it.

use crate::services::class::{Class, REFUSED_TOKEN};
use crate::services::codes::{KnownCode, Speaker};
use crate::services::listing;

const fn code(code: &'static str, class: Class) -> KnownCode {
    KnownCode::new(code, class, Speaker::Graph)
}

/// Codes that sort a refusal (4xx) whatever its status, but for 401 and 429, which speak for themselves.
pub(in crate::services) const DECIDING: &[KnownCode] = &[
    // Among the details of Request_BadRequest: microsoft-graph-docs#1508, microsoft-graph-docs-contrib#8421.
    code("ObjectConflict", Class::Duplicate),
    code("ConflictingObjects", Class::Duplicate),
    code("Request_MultipleObjectsWithSameKeyValue", Class::Duplicate),
    code("nameAlreadyExists", Class::Duplicate),
    // learn.microsoft.com/graph/errors; learn.microsoft.com/answers/questions/1379655.
    code("Directory_ConcurrencyViolation", Class::Contended)
        .noting("two writes to the same object or tenant met; the usual reason of a 409"),
    // One of Azure AD Graph's old names, which shine through at times.
    code("Directory_ReplicaUnavailable", Class::Contended)
        .noting("the replica that was asked was out of service; the next request goes to another"),
    // Other old names: Azure AD Graph's errors, as its client library sorted them.
    code("Request_ThrottledTemporarily", Class::THROTTLED),
    code("Authentication_ExpiredToken", Class::Unauthenticated),
    code("Authentication_MissingOrMalformed", Class::Unauthenticated),
    code("Directory_QuotaExceeded", Class::Rejected)
        .noting("the tenant, or the account that writes, has as many objects as the directory allows")
        .advising(
            "purge deleted objects that nobody needs (Entra admin center > Users > Deleted users), verify a domain, or ask \
             Microsoft for a higher quota; then run the row again",
        ),
    // microsoft-graph-docs on paging: pages that are fetched too late, or of a query without advanced capabilities.
    code(EXPIRED_PAGE, Class::Rejected)
        .noting("the listing took too long from one page to the next; it was begun again a few times, in vain")
        .advising("run the row again when the service is less busy"),
    // learn.microsoft.com/graph/errors, the general codes.
    code("activityLimitReached", Class::THROTTLED),
    code("throttledRequest", Class::THROTTLED),
    code("TooManyRequests", Class::THROTTLED),
    code("quotaLimitReached", Class::Rejected)
        .noting("a limit in size or number is reached; waiting does not help")
        .advising("make room or raise the quota, then run the row again"),
    // learn.microsoft.com/graph/aad-advanced-queries.
    code("Request_UnsupportedQuery", Class::Unsupported)
        .noting("the query needs the header ConsistencyLevel and $count, or cannot be asked at all"),
    code("Request_ResourceNotFound", Class::NotFound),
    // Right after a person was made, and found a moment later: microsoft-graph-docs#15839.
    code("Directory_ObjectNotFound", Class::NotFound),
    code("InvalidAuthenticationToken", Class::Unauthenticated).advising(REFUSED_TOKEN),
    code("Authorization_RequestDenied", Class::Denied),
    // Reports and audit logs, of somebody who holds no role that may read them.
    code("Authentication_RequestFromUnsupportedUserRole", Class::Denied)
        .noting("the signed-in account holds no role that may read this")
        .advising(
            "give the account that signs in the role Reports Reader or Security Reader (Entra admin center > Roles & admins)",
        ),
    code("PermissionScopeNotGranted", Class::Denied),
    // Reports and sign-in activity without Entra ID P1: MicrosoftDocs/azure-docs#77948, microsoft-graph-docs#14120. Seen
    // also where the app lacked Directory.Read.All and so could not see the licence: microsoft-graph-docs#12537.
    code("Authentication_RequestFromNonPremiumTenantOrB2CTenant", Class::Licence)
        .noting("the tenant has no Entra ID P1 or P2 licence, or the app may not see that it has one")
        .advising(
            "get Entra ID P1 or P2 for the tenant; where it has one, give the app Directory.Read.All too, so that it sees it \
             (App registrations > the app > API permissions), and click \"Grant admin consent\"",
        ),
    // Eligible roles without Entra ID P2 or ID Governance, as privileged identity management answers.
    code("AadPremiumLicenseRequired", Class::Licence)
        .noting("eligible roles need Entra ID P2 or Entra ID Governance"),
    // learn.microsoft.com/troubleshoot on Outlook's REST API: no Exchange Online licence, or a mailbox on premises.
    code("MailboxNotEnabledForRESTAPI", Class::Licence)
        .noting("the person has no mailbox in Exchange Online: no licence, not made yet, deleted, or on premises"),
    code("MailboxNotSupportedForRESTAPI", Class::Licence)
        .noting("the person's mailbox is not in Exchange Online"),
];

/// Codes that only go with a status, which is what sorts the reply.
pub(in crate::services) const TELLING: &[KnownCode] = &[
    code("Request_BadRequest", Class::InvalidValue)
        .noting("with status 400; a code among its details may lead to another class"),
    code("Authorization_IdentityNotFound", Class::Unauthenticated)
        .noting("with status 401: the app is not in this tenant"),
    code("Authorization_IdentityDisabled", Class::Unauthenticated)
        .noting("with status 401: the app, or the signed-in account, is disabled"),
    // Identity protection and conditional access say no more than this where a licence is missing, so that by their code
    // they cannot be told from a missing permission.
    code("Forbidden", Class::Denied)
        .noting("with status 403; identity protection also returns this if the tenant has no Entra ID P2 licence"),
    code("accessDenied", Class::Denied)
        .noting("with status 403; conditional access also returns this if the tenant has no Entra ID P1 licence"),
    code("Request_ThrottledPermanently", Class::THROTTLED).noting("with status 429"),
    code("Service_InternalServerError", Class::UNAVAILABLE).noting("with status 500"),
    code("generalException", Class::UNAVAILABLE).noting("with status 500"),
    code("serviceNotAvailable", Class::UNAVAILABLE).noting("with status 503"),
    code("UnknownError", Class::UNAVAILABLE).noting("with status 502 to 504"),
];

const fn ours(code: &'static str, class: Class, note: &'static str) -> KnownCode {
    KnownCode::new(code, class, Speaker::Transport).noting(note)
}

/// Codes of this program about a request to Graph.
pub(in crate::services) const TRANSPORT: &[KnownCode] = &[
    ours(
        "not-connected",
        Class::NotSent,
        "no connection to the service could be made",
    ),
    ours(
        "timeout",
        Class::InDoubt,
        "the request was sent, and no reply came in time",
    ),
    ours(
        "connection-lost",
        Class::InDoubt,
        "the request was sent, and the connection was lost before the reply was complete",
    ),
    ours(
        "reply-too-large",
        Class::UNAVAILABLE,
        "the reply is larger than any that makes sense",
    )
    .advising("find out what replies in the service's place; the person is read again and such a reply is ignored"),
    ours(
        UNREADABLE,
        Class::UNAVAILABLE,
        "the reply does not have the service's form, whatever its status: most often the page of a proxy, a firewall or a network \
         that wants a sign-in",
    )
    .advising(
        "open the service's address from this machine and see what replies there: a proxy, a firewall or a network's \
         sign-in page; let this machine through, then run the row again",
    ),
    // Of reports that were written before such a reply counted as no reply of the service.
    ours("no-object", Class::Rejected, "the reply to a read is not the object that was asked for"),
    ours(
        listing::ENDLESS,
        Class::Rejected,
        "the service leads from one page of a listing to the next without an end, or back to one that was read",
    )
    .advising("run the row again later; if it stays so, report it to the service with the request id"),
    ours(
        "foreign-address",
        Class::Rejected,
        "the service named a next page at another address; the token is not sent there",
    ),
    ours(
        "request-malformed",
        Class::Rejected,
        "no request could be made of what the job says",
    ),
    ours(
        "service-silent",
        Class::NotSent,
        "a service that only some rows need answered nobody for as long as a run waits for it",
    ),
    ours(
        "no-such-service",
        Class::Unsupported,
        "the job asks a service that the connection file does not have",
    )
    .advising("add the service's section to the connection file"),
];

/// A reply that is not the service's.
pub(in crate::services) const UNREADABLE: &str = "unreadable-reply";
/// A page was asked for too late.
pub(in crate::services) const EXPIRED_PAGE: &str = "Directory_ExpiredPageToken";
