//! A ticket is redeemed exactly once, on whichever gateway, whatever happens to the engine.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::{join, join_all};
use rillgate::auth::{SharedTickets, TicketsUnavailable};
use rillgate::cluster::{AuthKind, Engine};

use super::fixture::{Member, three};
use crate::support::nats::{ELECTION, NatsCluster, NatsServer};
use crate::support::wait::{DEADLINE, eventually};

const KEEP: Duration = Duration::from_secs(300);

fn ticket(number: usize) -> String {
    format!("{number:043}")
}

/// Redeems as a client does that comes back after a 503.
async fn redeem(member: &Member, ticket: &str) -> Option<Vec<u8>> {
    let taken = Cell::new(None);
    eventually(ELECTION * 2, || async {
        match member.tickets.take(ticket).await {
            Ok(content) => taken.set(content),
            Err(TicketsUnavailable) => return false,
        }
        true
    })
    .await;
    taken.take()
}

/// Issues tickets and redeems each by four attempts at the same time on three gateways.
async fn each_once(members: &[Member; 3], numbers: std::ops::Range<usize>) {
    for group in numbers.collect::<Vec<_>>().chunks(10) {
        join_all(group.iter().map(async |number| {
            let (ticket, content) = (ticket(*number), number.to_string().into_bytes());
            eventually(ELECTION, || async {
                members[number % 3].tickets.store(&ticket, content.clone(), KEEP).await.is_ok()
            })
            .await;
            let attempts = join_all((0..4).map(|attempt| redeem(&members[(number + attempt) % 3], &ticket))).await;
            let taken: Vec<_> = attempts.into_iter().flatten().collect();
            assert_eq!(taken, [content], "ticket {number}");
        }))
        .await;
    }
}

#[tokio::test]
async fn of_four_attempts_on_three_gateways_exactly_one_redeems_each_of_300_tickets() {
    let server = NatsServer::start().await;
    let members = three(&[server.url()], 1).await;

    each_once(&members, 0..300).await;
}

#[tokio::test]
async fn so_it_is_while_each_of_three_servers_is_killed() {
    let cluster = NatsCluster::start().await;
    let members = three(&cluster.urls(), 3).await;
    let (is_over, batches) = (Cell::new(false), Cell::new(0));
    let kills = async {
        // One of them leads, so its leader is killed at least once.
        for server in &cluster.servers {
            server.kill();
            eventually(ELECTION, || async { members[0].tickets.take(&ticket(0)).await.is_ok() }).await;
            let before = batches.get();
            server.restart();
            server.is_listening().await;
            cluster.has_leader().await;
            // However slow the machine is, tickets are redeemed between two kills.
            eventually(ELECTION, || async { batches.get() > before }).await;
        }
        is_over.set(true);
    };
    let redemptions = async {
        let mut numbers = 1..11;
        while !is_over.get() {
            each_once(&members, numbers.clone()).await;
            numbers = numbers.end..numbers.end + 10;
            batches.set(batches.get() + 1);
        }
        numbers.start
    };

    let (number, ()) = join(redemptions, kills).await;

    assert!(number > 30, "only {number} tickets");
}

#[tokio::test]
async fn while_the_engine_is_away_tickets_are_neither_issued_nor_used_up() {
    let server = NatsServer::start().await;
    let members = three(&[server.url()], 1).await;
    members[0].tickets.store(&ticket(1), b"content".to_vec(), KEEP).await.unwrap();

    server.kill();
    members[1].running.is_disconnected().await;
    assert_eq!(members[1].tickets.take(&ticket(1)).await, Err(TicketsUnavailable));
    assert_eq!(members[1].tickets.store(&ticket(2), Vec::new(), KEEP).await, Err(TicketsUnavailable));
    server.restart();

    assert_eq!(redeem(&members[1], &ticket(1)).await, Some(b"content".to_vec()));
}

#[tokio::test]
async fn a_ticket_that_was_not_redeemed_expires() {
    let server = NatsServer::start().await;
    let members = three(&[server.url()], 1).await;
    members[0].tickets.store(&ticket(1), b"content".to_vec(), Duration::from_secs(1)).await.unwrap();

    let is_gone = || async { members[0].running.all(AuthKind::Ticket).await.is_ok_and(|all| all.is_empty()) };
    eventually(DEADLINE, is_gone).await;

    assert_eq!(redeem(&members[1], &ticket(1)).await, None);
}
