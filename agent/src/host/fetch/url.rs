//! Addresses of files, as far as fetching needs them (RFC 3986).

use http::Uri;
use http::uri::Scheme;

/// An absolute address of `http` or `https`.
#[derive(Debug, Clone)]
pub(super) struct Url {
    uri: Uri,
}

impl Url {
    /// # Errors
    /// When it is none, or holds a name and a password: those would stand in logs and results.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // What is after the hash is not for the server.
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|error| format!("it is no URL ({error})"))?;
        let known = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if !known || authority.is_empty() {
            return Err("it is no URL of http or https".to_owned());
        }
        if authority.contains('@') {
            return Err("a name and a password do not belong into a URL; a header can carry them".to_owned());
        }
        Ok(Self { uri })
    }

    pub(super) fn is_secure(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 })
    }

    /// Host and port as the server is told them.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map(http::uri::Authority::as_str).unwrap_or_default()
    }

    /// What is asked for.
    pub(super) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
    }

    /// Where a redirect leads.
    ///
    /// # Errors
    /// When it leads to no URL.
    pub(super) fn join(&self, to: &str) -> Result<Self, String> {
        let scheme = if self.is_secure() { "https" } else { "http" };
        let authority = self.authority();
        if to.contains("://") {
            return Self::parse(to);
        }
        if let Some(rest) = to.strip_prefix("//") {
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        if to.starts_with('/') {
            return Self::parse(&format!("{scheme}://{authority}{to}"));
        }
        let path = self.uri.path();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut parts: Vec<&str> = folder.split('/').collect();
        let mut rest = to;
        while let Some(after) = rest.strip_prefix("../").or_else(|| rest.strip_prefix("./")) {
            if rest.starts_with("../") && parts.len() > 1 {
                parts.pop();
            }
            rest = after;
        }
        Self::parse(&format!("{scheme}://{authority}{}/{rest}", parts.join("/")))
    }
}

/// An address as it may be shown: without what may be secret in it.
pub(in crate::host) fn shown(url: &str) -> String {
    let text = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_browsers_go() {
        let base = Url::parse("https://host:8443/a/b/c?x=1#part").unwrap();
        for (to, wanted) in [
            ("https://other/d", "https://other/d"),
            ("//other/d", "https://other/d"),
            ("/d?y=2", "https://host:8443/d?y=2"),
            ("d", "https://host:8443/a/b/d"),
            ("./d", "https://host:8443/a/b/d"),
            ("../d", "https://host:8443/a/d"),
            ("../../../d", "https://host:8443/d"),
        ] {
            assert_eq!(base.join(to).unwrap().uri.to_string(), wanted, "{to}");
        }
        assert!(base.join("ftp://other/d").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused_and_secrets_are_not_shown() {
        for text in ["", "/a", "host/a", "ftp://host/a", "https://", "https://u:p@host/a", "http://a b/"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        assert_eq!(shown("https://user:secret@host:1/a/b?token=secret#x"), "https://host:1/a/b");
        assert_eq!(Url::parse("http://[::1]:8080/x").unwrap().host(), "::1");
        assert_eq!(Url::parse("http://host").unwrap().target(), "/");
    }
}
