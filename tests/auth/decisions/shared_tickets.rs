//! Tickets that are kept in a store of several gateways.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rillgate::auth::{SharedTickets, Ticket, TicketError, Tickets, TicketsUnavailable};

use super::{grant, requested, rules, set_up};
use crate::support::*;

/// A store of tickets that two gateways share, and that may be away.
#[derive(Default)]
struct TicketStore {
    contents: Mutex<HashMap<String, Vec<u8>>>,
    is_away: AtomicBool,
}

impl TicketStore {
    fn check(&self) -> Result<(), TicketsUnavailable> {
        if self.is_away.load(Ordering::Relaxed) { Err(TicketsUnavailable) } else { Ok(()) }
    }
}

impl SharedTickets for TicketStore {
    fn store<'a>(
        &'a self,
        ticket: &'a str,
        content: Vec<u8>,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), TicketsUnavailable>> {
        Box::pin(async move {
            self.check()?;
            self.contents.lock().expect("no panic").insert(ticket.to_owned(), content);
            Ok(())
        })
    }

    fn take<'a>(&'a self, ticket: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, TicketsUnavailable>> {
        Box::pin(async move {
            self.check()?;
            Ok(self.contents.lock().expect("no panic").remove(ticket))
        })
    }
}

#[tokio::test]
async fn a_shared_ticket_stands_for_the_same_grant_on_another_gateway() {
    let (_directory, trust_store, authorizer) = set_up(rules());
    let granted = grant(&authorizer).await;
    let store = Arc::new(TicketStore::default());
    let [here, there] = [(); 2].map(|()| Tickets::new(40).with_shared(store.clone()));
    let ttl = Duration::from_secs(30);
    let issue = async || here.issue(granted.clone(), "prices", "/prices/EURUSD", ttl, now()).await;
    let redeem = async |ticket: &Ticket, path| {
        there.redeem(ticket.reveal(), "prices", path, &trust_store, now()).await.map(|grant| grant.is_some())
    };

    let ticket = issue().await.expect("a ticket");
    let redeemed = there.redeem(ticket.reveal(), "prices", "/prices/EURUSD", &trust_store, now()).await;
    let redeemed = redeemed.expect("the store is there").expect("a grant");
    assert_eq!((redeemed.subject(), redeemed.expires_at()), (granted.subject(), granted.expires_at()));
    assert_eq!((redeemed.claims(), redeemed.source()), (granted.claims(), granted.source()));
    assert!(authorizer.recheck(&redeemed, requested(), now()).is_ok());
    assert_eq!(redeem(&ticket, "/prices/EURUSD").await, Ok(false), "twice");

    let ticket = issue().await.expect("a ticket");
    assert_eq!(redeem(&ticket, "/prices/GBPUSD").await, Ok(false), "another path");
    assert_eq!(redeem(&ticket, "/prices/EURUSD").await, Ok(false), "an attempt elsewhere uses it up");

    let ticket = issue().await.expect("a ticket");
    store.is_away.store(true, Ordering::Relaxed);
    assert_eq!(redeem(&ticket, "/prices/EURUSD").await, Err(TicketsUnavailable));
    assert_eq!(issue().await, Err(TicketError::Unavailable(TicketsUnavailable)));
    assert_eq!(here.len(), 3, "one that could not be stored does not count");
    store.is_away.store(false, Ordering::Relaxed);
    assert_eq!(redeem(&ticket, "/prices/EURUSD").await, Ok(true));

    while here.len() < 32 {
        issue().await.expect("a ticket");
    }
    assert_eq!(issue().await, Err(TicketError::SubjectFull), "those redeemed elsewhere count until they expire");
}
