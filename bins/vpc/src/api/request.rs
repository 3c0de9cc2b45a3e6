//! A request as it came in, and the answer to it.

/// A request of the Query API.
#[derive(Debug, Clone, Default)]
pub struct ApiRequest {
    /// `GET` or `POST`, or what else came.
    pub method: String,
    /// The path, percent-encoded.
    pub path: String,
    /// What follows `?`.
    pub query: String,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl ApiRequest {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(each, _)| each == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer of the Query API: XML with a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The document.
    pub body: String,
}
