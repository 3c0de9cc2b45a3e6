//! Answers of the metadata service.

/// The IP TTL of packets that may travel freely.
const FREE_TTL: u8 = 64;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImdsResponse {
    /// The HTTP status.
    pub status: u16,
    /// Header `Content-Type`.
    pub content_type: &'static str,
    /// Header `X-aws-ec2-metadata-token-ttl-seconds`, of a token.
    pub token_ttl_secs: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
    /// The TTL of the IP packets that carry the answer: the hop limit for PUT, else 64.
    pub ip_ttl: u8,
}

impl ImdsResponse {
    pub(super) fn text(text: String) -> Self {
        Self {
            status: 200,
            content_type: "text/plain",
            token_ttl_secs: None,
            body: text.into_bytes(),
            ip_ttl: FREE_TTL,
        }
    }

    pub(super) fn bytes(body: Vec<u8>) -> Self {
        Self {
            content_type: "application/octet-stream",
            body,
            ..Self::text(String::new())
        }
    }

    pub(super) fn token(token: String, ttl_secs: u64) -> Self {
        Self {
            token_ttl_secs: Some(ttl_secs),
            ..Self::text(token)
        }
    }

    pub(super) fn error(status: u16) -> Self {
        let reason = match status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            _ => "Method Not Allowed",
        };
        let page = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
             <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n\
             <head><title>{status} - {reason}</title></head>\n\
             <body><h1>{status} - {reason}</h1></body>\n</html>\n"
        );
        Self {
            status,
            content_type: "text/html",
            ..Self::text(page)
        }
    }

    pub(super) fn within_hops(self, limit: u8) -> Self {
        Self {
            ip_ttl: limit,
            ..self
        }
    }
}
