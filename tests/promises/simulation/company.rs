//! Small worlds full of rows that touch each other: who is in the tenant, which rows the file has, and how they end when
//! nothing goes wrong.

/// Somebody in the tenant before the run.
#[derive(Debug, Clone, Copy)]
pub struct Being {
    pub upn: &'static str,
    pub mail: &'static str,
    /// The number of the GUID whose ImmutableID they have.
    pub anchor: Option<usize>,
    pub deleted: bool,
}

/// A row of the file.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    pub upn: &'static str,
    /// The number of the GUID that it brings.
    pub anchor: usize,
    /// Whose object id it has, by their place.
    pub object_id: Option<usize>,
}

#[derive(Debug)]
pub struct Company {
    pub name: &'static str,
    pub beings: &'static [Being],
    pub lines: &'static [Line],
    /// How the rows end, sorted, when no request meets a fault.
    pub ends: &'static [&'static str],
}

const fn being(upn: &'static str, anchor: Option<usize>) -> Being {
    Being { upn, mail: upn, anchor, deleted: false }
}

const fn gone(upn: &'static str, anchor: Option<usize>) -> Being {
    Being { deleted: true, ..being(upn, anchor) }
}

const fn left_at(upn: &'static str, mail: &'static str) -> Being {
    Being { mail, ..being(upn, None) }
}

const fn line(upn: &'static str, anchor: usize) -> Line {
    Line { upn, anchor, object_id: None }
}

const JOHN: &str = "john@contoso.com";
const OTHER_JOHN: &str = "john@fabrikam.com";
const JOHN_AWAY: &str = "john@contoso.onmicrosoft.com";
const ANN: &str = "ann@contoso.com";
const BOB: &str = "bob@contoso.com";
const CID: &str = "cid@fabrikam.com";

pub const COMPANIES: [Company; 15] = [
    Company {
        name: "one local part in two domains",
        beings: &[being(JOHN, Some(8)), being(OTHER_JOHN, None)],
        lines: &[line(JOHN, 0), line(OTHER_JOHN, 1)],
        ends: &["done", "done"],
    },
    Company {
        name: "one local part in two domains, one of them deleted",
        beings: &[being(JOHN, Some(8)), gone(OTHER_JOHN, Some(9))],
        lines: &[line(JOHN, 0), line(OTHER_JOHN, 1)],
        ends: &["done", "done"],
    },
    Company {
        name: "a row names nobody, and its temporary UPN is somebody's on the way",
        beings: &[being(JOHN, Some(8)), being(BOB, Some(9))],
        lines: &[line(BOB, 2), line(JOHN, 0), line(OTHER_JOHN, 1)],
        ends: &["done", "done", "refused"],
    },
    Company {
        name: "a row names nobody, and its own UPN is somebody's on the way",
        beings: &[being(JOHN, Some(8))],
        lines: &[line(JOHN, 0), line(JOHN_AWAY, 1)],
        ends: &["done", "refused"],
    },
    Company {
        name: "a row lives at another's temporary UPN",
        beings: &[being(JOHN, Some(8)), being(JOHN_AWAY, None)],
        lines: &[line(JOHN, 0), line(JOHN_AWAY, 1)],
        ends: &["done", "done"],
    },
    Company {
        name: "a row comes back to another's temporary UPN",
        beings: &[being(JOHN, Some(8)), gone(JOHN_AWAY, Some(9))],
        lines: &[line(JOHN, 0), line(JOHN_AWAY, 1)],
        ends: &["done", "done"],
    },
    Company {
        name: "a row comes back first, to another's temporary UPN",
        beings: &[being(JOHN, Some(8)), gone(JOHN_AWAY, Some(9))],
        lines: &[line(JOHN_AWAY, 1), line(JOHN, 0)],
        ends: &["done", "done"],
    },
    Company {
        name: "a stranger lives at a temporary UPN",
        beings: &[being(JOHN, Some(8)), being(JOHN_AWAY, Some(9))],
        lines: &[line(JOHN, 0)],
        ends: &["done"],
    },
    Company {
        name: "an account twice, by both of its UPNs",
        beings: &[left_at(JOHN_AWAY, JOHN), being(BOB, Some(7))],
        lines: &[line(JOHN, 0), line(BOB, 2), line(JOHN_AWAY, 1)],
        ends: &["done", "done", "refused"],
    },
    Company {
        name: "an account twice, by UPN and by object id",
        beings: &[being(JOHN_AWAY, Some(8))],
        lines: &[line(JOHN_AWAY, 0), Line { upn: JOHN, anchor: 1, object_id: Some(0) }],
        ends: &["done", "refused"],
    },
    Company {
        name: "a chain of identifiers",
        beings: &[being(ANN, Some(0)), being(BOB, Some(1)), being(CID, Some(2))],
        lines: &[line(ANN, 1), line(BOB, 2), line(CID, 3)],
        ends: &["done", "done", "done"],
    },
    Company {
        name: "a chain of identifiers, last first",
        beings: &[being(ANN, Some(0)), being(BOB, Some(1)), being(CID, Some(2))],
        lines: &[line(CID, 3), line(BOB, 2), line(ANN, 1)],
        ends: &["done", "done", "done"],
    },
    Company {
        name: "a chain of identifiers that ends at a stranger",
        beings: &[being(ANN, Some(0)), being(BOB, Some(1)), being(CID, Some(2))],
        lines: &[line(ANN, 1), line(BOB, 2)],
        ends: &["refused", "refused"],
    },
    Company {
        name: "identifiers in a circle of two",
        beings: &[being(ANN, Some(0)), being(BOB, Some(1)), being(CID, None)],
        lines: &[line(ANN, 1), line(BOB, 0), line(CID, 2)],
        ends: &["done", "refused", "refused"],
    },
    Company {
        name: "identifiers in a circle of three, beside a chain",
        beings: &[
            being(ANN, Some(0)),
            being(BOB, Some(1)),
            being(CID, Some(2)),
            being(JOHN, Some(3)),
            being(OTHER_JOHN, Some(4)),
        ],
        lines: &[line(ANN, 1), line(JOHN, 4), line(BOB, 2), line(OTHER_JOHN, 5), line(CID, 0)],
        ends: &["done", "done", "refused", "refused", "refused"],
    },
];
