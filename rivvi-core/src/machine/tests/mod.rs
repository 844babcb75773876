//! The machines in tables, under every order of facts, and in the documentation.

mod begin;
mod call;
mod fixture;
mod inbound;
mod messages;
mod order;
mod run;
mod settle;
mod transitions;
