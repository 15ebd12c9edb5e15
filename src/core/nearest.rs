//! Which known word somebody may have meant. For error messages only.

/// More differences than this make another word, not a slip of the finger.
const DIFFERENCES_MAX: usize = 3;

/// The known word with the fewest differences to the one given, if it is near at all.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    nearest_first(word, known).first().copied()
}

/// All known words that are near, the nearest first; case and hyphens make no difference.
#[must_use]
pub fn nearest_first<'a>(word: &str, known: &[&'a str]) -> Vec<&'a str> {
    let word = folded(word);
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|candidate| {
            let differences = strsim::osa_distance(&word, &folded(candidate));
            (differences, *candidate)
        })
        .filter(|(differences, candidate)| *differences <= DIFFERENCES_MAX && *differences * 2 < candidate.len())
        .collect();
    near.sort_by_key(|(differences, _)| *differences);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

fn folded(word: &str) -> String {
    word.to_ascii_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["tenant", "client_id", "client_secret", "login"];
        assert_eq!(nearest("tennant", &known), Some("tenant"));
        assert_eq!(nearest("Client-ID", &known), Some("client_id"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
