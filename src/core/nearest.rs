//! Which known word somebody may have meant. For error messages only.

/// More differences than this make another word, not a slip of the finger.
const DIFFERENCES_MAX: usize = 3;

/// The known word with the fewest differences to the one given, if it is near at all.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    nearest_first(word, known).first().copied()
}

/// All known words that are near, the nearest first; case and hyphens make no difference.
pub fn nearest_first<'a>(word: &str, known: &[&'a str]) -> Vec<&'a str> {
    let word = folded(word);
    let differences = |candidate: &&str| strsim::osa_distance(&word, &folded(candidate));
    let is_near =
        |candidate: &&str| differences(candidate) <= DIFFERENCES_MAX && differences(candidate) * 2 < candidate.len();
    let mut near: Vec<&str> = known.iter().copied().filter(is_near).collect();
    near.sort_by_key(differences);
    near
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
