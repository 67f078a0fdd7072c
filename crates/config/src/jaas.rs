//! JAAS login configuration, rendered from data.
//!
//! The form is that of Java's `javax.security.auth.login.Configuration`: sections of login modules with a flag and
//! options. Rendered as a whole: a file that holds secrets is never patched.

use std::fmt::Write;

/// One section: `KafkaServer`, `Client`, `Server`, `QuorumServer`, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Its login modules, in their order.
    pub modules: Vec<Login>,
}

/// One login module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The class.
    pub class: String,
    /// Whether the login needs it.
    pub flag: String,
    /// Its options, in their order.
    pub options: Vec<(String, String)>,
}

/// The flags that Java has.
pub const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// Why a section can not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JaasError {
    /// A name would end early or be read as something else.
    #[error("{0:?} can not be a name in a JAAS file")]
    Name(String),
    /// No such flag.
    #[error("{0:?} is none of required, requisite, sufficient, optional")]
    Flag(String),
    /// A section without a module is a syntax error to Java.
    #[error("section {0} has no login module")]
    Empty(String),
}

/// The text of a file.
///
/// # Errors
/// When a name or a flag can not be written.
pub fn render(sections: &[Section]) -> Result<String, JaasError> {
    let mut text = String::new();
    for section in sections {
        if section.modules.is_empty() {
            return Err(JaasError::Empty(section.name.clone()));
        }
        line(&mut text, format_args!("{} {{", name(&section.name)?));
        for login in &section.modules {
            if !FLAGS.contains(&login.flag.as_str()) {
                return Err(JaasError::Flag(login.flag.clone()));
            }
            let end = if login.options.is_empty() { ";" } else { "" };
            line(&mut text, format_args!("    {} {}{end}", name(&login.class)?, login.flag));
            for (at, (key, value)) in login.options.iter().enumerate() {
                let end = if at + 1 == login.options.len() { ";" } else { "" };
                line(&mut text, format_args!("    {}={}{end}", name(key)?, quote(value)));
            }
        }
        line(&mut text, format_args!("}};"));
    }
    Ok(text)
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a text does not fail.
    let _infallible = writeln!(text, "{line}");
}

fn name(text: &str) -> Result<&str, JaasError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '$');
    if !text.is_empty() && text.chars().all(fits) { Ok(text) } else { Err(JaasError::Name(text.to_owned())) }
}

/// In quotes, as Java's `StreamTokenizer` reads them.
fn quote(value: &str) -> String {
    let mut out = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(class: &str, flag: &str, options: &[(&str, &str)]) -> Section {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let modules = vec![Login { class: class.to_owned(), flag: flag.to_owned(), options }];
        Section { name: "KafkaServer".to_owned(), modules }
    }

    #[test]
    fn a_section_is_written_as_java_reads_it() {
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
        let text = render(&[section(plain, "required", &[("username", "a"), ("password", "p\"\\")])]).unwrap();
        assert_eq!(
            text,
            format!("KafkaServer {{\n    {plain} required\n    username=\"a\"\n    password=\"p\\\"\\\\\";\n}};\n")
        );
        assert_eq!(render(&[section("a.B", "optional", &[])]).unwrap(), "KafkaServer {\n    a.B optional;\n};\n");
    }

    #[test]
    fn what_java_would_misread_is_refused() {
        let empty = Section { name: "Client".to_owned(), modules: Vec::new() };
        for (section, wanted) in [
            (section("a B", "required", &[]), "\"a B\" can not be a name in a JAAS file"),
            (section("a.B", "needed", &[]), "\"needed\" is none of required, requisite, sufficient, optional"),
            (section("a.B", "required", &[("x;", "")]), "\"x;\" can not be a name in a JAAS file"),
            (empty, "section Client has no login module"),
        ] {
            assert_eq!(render(&[section]).unwrap_err().to_string(), wanted);
        }
    }
}
