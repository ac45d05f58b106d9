//! The pools of connections to the database, looked at when somebody asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use metrics::{Unit, describe_gauge, describe_histogram, gauge};
use store::Store;

static STORES: Mutex<Vec<Weak<dyn Store>>> = Mutex::new(Vec::new());

/// Shows the connections of a store for as long as it is in use.
pub fn watch_store(store: &Arc<dyn Store>) {
    // Opening the store is the first thing that a service does: what is described or counted from now on is kept.
    super::recorder();
    STORES.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(store));
}

pub(super) fn describe() {
    describe_gauge!(
        "store_connections",
        Unit::Count,
        "connections to the database, by pool and state (used or idle)"
    );
    describe_gauge!("store_connections_max", Unit::Count, "connections that there may be, by pool");
    describe_histogram!(
        "store_wait_seconds",
        Unit::Seconds,
        "time that a statement waited for a connection, or a write to SQLite for its turn, by pool"
    );
}

/// Adds up the pools of all stores in the process.
pub(super) fn sample() {
    let mut pools: BTreeMap<&'static str, [u32; 3]> = BTreeMap::new();
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    stores.retain(|store| {
        let Some(store) = store.upgrade() else { return false };
        for pool in store.pools() {
            let sum = pools.entry(pool.name).or_default();
            sum[0] += pool.open.saturating_sub(pool.idle);
            sum[1] += pool.idle;
            sum[2] += pool.max;
        }
        true
    });
    drop(stores);
    for (name, [used, idle, max]) in pools {
        gauge!("store_connections", "pool" => name, "state" => "used").set(f64::from(used));
        gauge!("store_connections", "pool" => name, "state" => "idle").set(f64::from(idle));
        gauge!("store_connections_max", "pool" => name).set(f64::from(max));
    }
}
