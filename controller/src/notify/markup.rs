//! Texts of hosts in the markup of channels: nothing of them may become a link, a call of people or a tag.

/// A text that is no markup in the small markdown of chat robots: no tag (`<at ...>`, `<font ...>`, `<@user>`), no link, no
/// image, no emphasis. Robots differ in what a backslash escapes, so letters that look alike stand in.
#[must_use]
pub(super) fn plain(text: &str) -> String {
    let alike = |c| match c {
        '<' => '‹',
        '>' => '›',
        '[' => '［',
        ']' => '］',
        '*' => '∗',
        '`' => '\'',
        '\\' => '＼',
        c => c,
    };
    text.chars().map(alike).collect()
}

/// A text in HTML.
#[must_use]
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_host_becomes_markup() {
        let text = plain("<at id=all></at> <@U1> [click](http://evil) ![x](y) **b** `c` a_b > 75 %");
        for forbidden in ['<', '>', '[', ']', '*', '`'] {
            assert!(!text.contains(forbidden), "{forbidden} in {text}");
        }
        assert!(text.contains("a_b › 75 %"), "{text}");
        assert_eq!(html("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    }
}
