//! Short texts that people and other programs write: quotas, times, UPNs, GUIDs and ImmutableIDs, a journal's holder.

use cutover::journal::Holder;
use cutover::services::budget::{Quota, parse_duration};
use cutover::values::{self, ImmutableId, ObjectGuid, Severity, Violation, guid, immutable_id, spelling, upn};
use std::time::Duration;

/// Reads the text as each of them.
pub fn check(text: &str) {
    quota(text);
    person(text);
    guid(text);
    conversion(text);
    if let Ok(holder) = serde_json::from_str::<Holder>(text) {
        let again = serde_json::to_string(&holder).unwrap();
        assert_eq!(serde_json::from_str::<Holder>(&again).unwrap(), holder);
    }
}

fn quota(text: &str) {
    let _either_way = parse_duration(text);
    if let Ok(quota) = text.parse::<Quota>() {
        let period = Duration::from_millis(1)..=Duration::from_secs(86_400);
        assert!(quota.count() > 0 && period.contains(&quota.period()));
        assert!(quota.per_second().is_finite());
        assert_eq!(quota.to_string().parse::<Quota>(), Ok(quota), "{quota}");
    }
}

fn person(text: &str) {
    let has_errors = |text: &str| {
        let found = upn::faults(text);
        found.iter().any(|fault| fault.severity == Severity::Error)
    };
    assert!(values::same_upn(text, text));
    if !has_errors(text) {
        assert_eq!(format!("{}@{}", values::local_part(text), values::domain(text)), text);
        assert_eq!(upn::repair(text), None);
    }
    if let Some(repaired) = upn::repair(text) {
        assert!(!has_errors(&repaired), "{text:?} became {repaired:?}");
        assert_eq!(upn::repair(&repaired), None);
    }
}

fn guid(text: &str) {
    for read in [
        ObjectGuid::parse(text),
        values::decode(text),
        guid::decode_unpadded(text),
        spelling::decode_encoded_text(text),
        spelling::spelled(text).map(|spelling| spelling.guid),
    ] {
        let Some(guid) = read else { continue };
        let id = ImmutableId::from(guid);
        assert_eq!(values::decode(id.as_str()), Some(guid));
        assert_eq!(ObjectGuid::parse(&guid.to_string()), Some(guid));
    }
    let is_refused = |faults: &[Violation]| faults.iter().any(|fault| fault.severity == Severity::Error);
    let mut faults = Vec::new();
    let read = guid::read(text, &mut faults);
    assert_eq!(read.is_none(), is_refused(&faults), "{text:?}: {faults:?}");
    faults.clear();
    let read = immutable_id::read(text, &mut faults);
    assert_eq!(read.is_none(), is_refused(&faults), "{text:?}: {faults:?}");
    // Who takes a suggestion is not sent on to another one.
    for suggested in faults.into_iter().filter_map(|fault| fault.suggestion) {
        let mut again = Vec::new();
        immutable_id::read(&suggested, &mut again);
        assert!(!is_refused(&again), "{text:?} suggests {suggested:?}: {again:?}");
    }
}

fn conversion(text: &str) {
    let Ok(read) = values::interpret(text) else {
        return;
    };
    assert!(!read.guid.is_nil());
    for spelling in [read.guid.to_string(), ImmutableId::from(read.guid).to_string()] {
        let again = values::interpret(&spelling).map(|again| again.guid);
        assert_eq!(again, Ok(read.guid), "{text:?} by way of {spelling:?}");
    }
}
