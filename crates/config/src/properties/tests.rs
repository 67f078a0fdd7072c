//! Tests of the properties files: a table that a JDK answered, and promises over any text.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Vec<(String, String)> {
    Properties::parse(text.as_bytes()).entries().into_iter().map(|entry| (entry.key, entry.value)).collect()
}

/// Each row was given to `java.util.Properties.load(InputStream)` of OpenJDK 17, and the answer is its own.
#[test]
fn a_file_is_read_as_java_reads_it() {
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("a=b\nc:d\ne f\n", &[("a", "b"), ("c", "d"), ("e", "f")]),
        ("  a  =  b  \n", &[("a", "b  ")]),
        ("a\n", &[("a", "")]),
        ("=b\n", &[("", "b")]),
        ("# a=b\n! c=d\n\n\t\n", &[]),
        ("# a=b\\\nc=d\n", &[("c", "d")]),
        ("a=b\\\n   c\\\n d\n", &[("a", "bcd")]),
        ("a=b\\\n#c\n", &[("a", "b#c")]),
        ("a=b\\\n\nc=d\n", &[("a", "b"), ("c", "d")]),
        ("a=b\\\\\nc=d\n", &[("a", "b\\"), ("c", "d")]),
        ("a=b\\", &[("a", "b")]),
        ("a=b\\\n", &[("a", "b")]),
        ("\\\n  a=b\n", &[("a", "b")]),
        ("\\\n# c\na=b\n", &[("a", "b")]),
        ("a\\=b=c\n", &[("a=b", "c")]),
        ("a\\ b=c\n", &[("a b", "c")]),
        ("a==b\n", &[("a", "=b")]),
        ("a = = b\n", &[("a", "= b")]),
        ("a=\\u00e4\\t\\n\\q\n", &[("a", "ä\t\nq")]),
        ("a=\\ud83d\\ude00\n", &[("a", "😀")]),
        ("a=b\r\nc=d\re=f", &[("a", "b"), ("c", "d"), ("e", "f")]),
        ("a=b\\\r\n  c\n", &[("a", "bc")]),
        ("a=ä\n", &[("a", "Ã¤")]),
        ("a\u{c}b\n", &[("a", "b")]),
        ("a=1\na=2\n", &[("a", "1"), ("a", "2")]),
        ("\\", &[("", "")]),
        ("\\\n", &[("", "")]),
        ("\\\n  ", &[]),
        ("\\\n\n", &[]),
        ("\\\n=b", &[("", "b")]),
        (" \\\n\\\n a=b\n", &[("a", "b")]),
        ("a=b\\\n  \n", &[("a", "b")]),
        ("a=1\\\n\\\n2", &[("a", "12")]),
        ("a=b\\\r\r\n=c", &[("a", "b"), ("", "c")]),
        ("a \\\n = b", &[("a", "b")]),
        ("a\\\n=b\n", &[("a", "b")]),
    ];
    for (text, wanted) in rows {
        let wanted: Vec<_> = wanted.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(read(text), wanted, "{text:?}");
    }
}

#[test]
fn an_entry_knows_its_line_and_whether_java_takes_it() {
    let text = "# one\n\na=1\\\n  2\nb=\\u12\n";
    let entries = Properties::parse(text.as_bytes()).entries();
    let lines: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.line, entry.malformed)).collect();
    assert_eq!(lines, [("a", 3, false), ("b", 5, true)]);
}

#[test]
fn only_what_is_touched_changes() {
    let text = "# The broker.\r\n  broker.id : 1\r\n\r\nlog.dirs=/a,\\\r\n  /b\r\nbroker.id=2 \r\n#end";
    for (key, value, wanted) in [
        ("broker.id", "2 ", text.to_owned()),
        ("broker.id", "3", text.replace("broker.id=2 ", "broker.id=3")),
        ("log.dirs", "/c", text.replace("/a,\\\r\n  /b", "/c")),
        ("new", "x", format!("{text}\r\nnew=x\r\n")),
    ] {
        let mut file = Properties::parse(text.as_bytes());
        file.set(key, value);
        assert_eq!(String::from_utf8(file.to_bytes()).unwrap(), wanted, "{key}={value}");
        assert_eq!(file.get(key), Some(value));
    }
    let mut file = Properties::parse(text.as_bytes());
    assert!(file.remove("broker.id") && !file.remove("broker.id"));
    assert_eq!(file.to_bytes(), b"# The broker.\r\n\r\nlog.dirs=/a,\\\r\n  /b\r\n#end");
}

#[test]
fn an_entry_in_an_odd_form_takes_a_value() {
    for (text, value, wanted) in [
        ("a", "b", "a=b"),
        ("a ", "b", "a b"),
        ("a old", "=b", "a \\=b"),
        ("a\\\n =old\n", "b", "a=b\n"),
        ("a=x\\", "b", "a=b"),
        ("a\\", "b", "a=b"),
        ("", " b", "a=\\ b\n"),
        ("z=x\\", "b", "z=x\\\n\na=b\n"),
        ("z=x\\\n", "b", "z=x\\\n\na=b\n"),
        ("# z\\", "b", "# z\\\na=b\n"),
        ("", "C:\\x\u{20ac}", "a=C:\\\\x\\u20ac\n"),
    ] {
        let mut file = Properties::parse(text.as_bytes());
        file.set("a", value);
        assert_eq!(String::from_utf8(file.to_bytes()).unwrap(), wanted, "{text:?}");
        let again = Properties::parse(&file.to_bytes());
        assert_eq!(again.get("a"), Some(value), "{text:?}");
        assert_eq!(again, file, "{text:?}");
    }
}

/// Texts of the characters that mean something, so that odd forms are common.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b'\\'), 4 => Just(b'\n'), 2 => Just(b'\r'), 3 => Just(b'='), 1 => Just(b':'), 3 => Just(b' '),
        1 => Just(b'\t'), 1 => Just(0x0c), 2 => Just(b'#'), 1 => Just(b'!'), 6 => Just(b'a'), 3 => Just(b'b'),
        2 => Just(b'u'), 1 => Just(b'0'), 1 => any::<u8>()
    ];
    prop::collection::vec(byte, 0..60)
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[ab]{1,2}", 1 => "[ab=: #!\\\\ü€\t]{0,4}"]
}

/// What Java makes of a file: the last value of each key. The empty key is left out: to Java a backslash alone at the
/// very end of a file is one, until a line follows it.
fn map(file: &Properties) -> BTreeMap<String, String> {
    let mut map = file.to_map();
    map.remove("");
    map
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_text_that_nothing_changed_is_the_same(text in text()) {
        prop_assert_eq!(Properties::parse(&text).to_bytes(), text);
    }

    #[test]
    fn a_key_that_is_set_has_the_value_and_the_others_keep_theirs(
        text in text(), key in key(), value in "[ab=: #!\\\\ü€\t\n\r\u{c}]{0,6}"
    ) {
        let mut file = Properties::parse(&text);
        let mut wanted = map(&file);
        wanted.insert(key.clone(), value.clone());
        wanted.remove("");
        file.set(&key, &value);
        let again = Properties::parse(&file.to_bytes());
        prop_assert_eq!(again.get(&key), Some(value.as_str()));
        prop_assert_eq!(map(&again), wanted.clone());
        prop_assert_eq!(map(&file), wanted);
    }

    #[test]
    fn a_key_that_is_removed_is_gone_and_the_others_keep_their_values(text in text(), key in key()) {
        let mut file = Properties::parse(&text);
        let mut wanted = map(&file);
        wanted.remove(&key);
        file.remove(&key);
        prop_assert_eq!(file.get(&key), None);
        prop_assert_eq!(map(&Properties::parse(&file.to_bytes())), wanted);
    }
}
