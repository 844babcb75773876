//! The Asterisk REST Interface: requests over HTTP, events over a WebSocket. What is used of it, and no more.
//!
//! Source: the documents in `rest-api` of Asterisk 22, and what a real 22.10 does.

mod client;
mod error;
mod event;
mod media;
mod socket;
mod tls;

pub(crate) use client::{APP, Client, Download, Originate};
pub(crate) use error::AriError;
pub(crate) use event::{Bridge, Channel, ChannelState, DialStatus, Event, What};
pub(crate) use media::MediaSocket;
pub(crate) use socket::{Frame, Socket};
pub(crate) use tls::tls;
