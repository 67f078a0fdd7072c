//! One mail over SMTP.

use super::channel::Answer;
use super::email::{MailRequest, Security, Server};
use super::send::SendError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::response::Response;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use std::error::Error as _;
use std::time::Duration;

/// A mail is a conversation of some ten steps, each of which may take as long as a whole request elsewhere; as a whole it
/// may take this many times as long, for its size over a slow line.
const STEPS: u32 = 6;

/// Sends a mail and waits for the server's word after the data.
///
/// # Errors
/// When the server gave none; the error says whether the mail can have arrived.
///
/// # Cancellation
/// A mail whose sending is dropped may have arrived.
pub(super) async fn send(request: MailRequest, timeout: Duration) -> Result<Answer, SendError> {
    let transport = transport(&request.server, timeout)?;
    match tokio::time::timeout(timeout * STEPS, transport.send(request.mail)).await {
        Ok(Ok(response)) => Ok(answer(&response)),
        Ok(Err(error)) => refused(&request.server, &error),
        Err(_) => Err(SendError::Lost(format!("no answer within {:?}", timeout * STEPS))),
    }
}

fn transport(server: &Server, timeout: Duration) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
        .port(server.port)
        .timeout(Some(timeout))
        .tls(match server.security {
            Security::None => Tls::None,
            Security::Tls => Tls::Wrapper(parameters(server)?),
            Security::StartTls => Tls::Required(parameters(server)?),
        });
    if let Some((user, password)) = &server.login {
        builder = builder.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
    }
    Ok(builder.build())
}

fn parameters(server: &Server) -> Result<TlsParameters, SendError> {
    let unusable = |error: lettre::transport::smtp::Error| SendError::Impossible(error.to_string());
    let mut builder = TlsParameters::builder(server.host.clone()).certificate_store(CertificateStore::Default);
    if let Some(pem) = &server.authorities {
        builder = builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(unusable)?);
    }
    builder.build_rustls().map_err(unusable)
}

fn answer(response: &Response) -> Answer {
    let status = response.code().to_string().parse().unwrap_or(0);
    Answer { status, body: response.message().collect::<Vec<_>>().join("\n"), retry_after: None }
}

/// A code is an answer; everything else is none.
fn refused(server: &Server, error: &lettre::transport::smtp::Error) -> Result<Answer, SendError> {
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    if let Some(code) = error.status() {
        return Ok(Answer { status: code.to_string().parse().unwrap_or(0), body: said, retry_after: None });
    }
    let text = error.to_string();
    // The mix-up of the ports is the most common mistake with mail (RFC 8314, section 7.3).
    let mixed_up = match (server.security, server.port) {
        (Security::Tls, 25 | 587) => "; port 587 and 25 speak STARTTLS: security: starttls",
        (Security::StartTls, 465) => "; port 465 speaks TLS from the first byte: security: tls",
        (Security::Tls | Security::StartTls | Security::None, _) => "",
    };
    let text = format!("{text}{mixed_up}");
    Err(if error.is_tls() || error.is_client() {
        SendError::Impossible(text)
    } else if text.starts_with("Connection error") {
        SendError::NotSent(text)
    } else {
        SendError::Lost(text)
    })
}
