//! Defaults of parameters, for `#[serde(default = "...")]`.

pub(crate) fn yes() -> bool {
    true
}
