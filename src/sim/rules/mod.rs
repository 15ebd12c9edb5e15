//! What the tenant allows and what it makes of it: plain functions, a file for each kind of entity. A rule decides
//! everything and changes nothing; the tenant stores and makes what it planned.

pub(super) mod domains;
pub(super) mod hard_match;
pub(super) mod risk;
pub(super) mod roles;
pub(super) mod users;
