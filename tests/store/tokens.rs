//! Tokens: names for ever, the last administrator stays.

use arcadia::store::{ADMIN, AddToken, NewToken, Revocation, RevokeToken, Scope, TokenMark, TokenRow};

use super::fixture::{Fixture, on_every_store};

fn mark(name: &str) -> TokenMark {
    TokenMark {
        hash: format!("hash of {name}"),
        hint: "last".to_owned(),
    }
}

fn token(name: &str, scope: Scope) -> NewToken {
    NewToken {
        mark: mark(name),
        name: name.to_owned(),
        scope,
        created_by: "ann".to_owned(),
        expires_ms: None,
    }
}

async fn add(store: &Fixture, token: NewToken) -> TokenRow {
    match store.store.add_token(token).await.unwrap() {
        AddToken::Added(row) => row,
        AddToken::NameTaken(row) => panic!("{row:?} is there"),
    }
}

async fn revoke(store: &Fixture, name: &str) -> RevokeToken {
    store.store.revoke_token(name, "bob").await.unwrap()
}

on_every_store! {
    a_token_is_kept_with_all_that_is_known_of_it(store) {
        let expiring = NewToken { expires_ms: Some(i64::MAX), ..token("ci", Scope::Run) };
        let row = add(store, expiring).await;
        assert_eq!((row.name.as_str(), row.scope, row.created_by.as_str()), ("ci", Scope::Run, "ann"));
        assert_eq!((row.expires_ms, &row.revoked, &row.mark), (Some(i64::MAX), &None, &mark("ci")));
        let other = add(store, token("a", Scope::Read)).await;
        assert_eq!(store.store.tokens().await.unwrap(), [other, row]);
    }

    a_name_is_given_once_also_when_its_token_is_revoked(store) {
        let row = add(store, token("ci", Scope::Run)).await;
        let again = NewToken { mark: mark("another"), ..token("ci", Scope::Admin) };
        assert_eq!(store.store.add_token(again.clone()).await.unwrap(), AddToken::NameTaken(row));
        let RevokeToken::Revoked(revoked) = revoke(store, "ci").await else { panic!("it is no admin's") };
        assert_eq!(store.store.add_token(again).await.unwrap(), AddToken::NameTaken(revoked.clone()));
        assert_eq!(store.store.tokens().await.unwrap(), [revoked]);
    }

    a_token_is_revoked_once_and_the_first_revocation_stays(store) {
        add(store, token("ci", Scope::Run)).await;
        assert_eq!(revoke(store, "nobody").await, RevokeToken::Unknown);
        let RevokeToken::Revoked(first) = revoke(store, "ci").await else { panic!("it is no admin's") };
        assert!(matches!(&first.revoked, Some(Revocation { by, .. }) if by == "bob"), "{first:?}");
        let again = store.store.revoke_token("ci", "carl").await.unwrap();
        assert_eq!(again, RevokeToken::Revoked(first.clone()));
        assert_eq!(store.store.tokens().await.unwrap(), [first]);
    }

    the_last_valid_admin_token_stays(store) {
        let admin = store.store.admin_token(mark(ADMIN), false).await.unwrap();
        add(store, token("operator", Scope::Operate)).await;
        let expired = NewToken { expires_ms: Some(1), ..token("expired", Scope::Admin) };
        add(store, expired).await;
        assert_eq!(revoke(store, ADMIN).await, RevokeToken::LastAdmin(admin));
        assert!(matches!(revoke(store, "expired").await, RevokeToken::Revoked(_)));
        let second = add(store, token("second", Scope::Admin)).await;
        assert!(matches!(revoke(store, ADMIN).await, RevokeToken::Revoked(_)));
        assert_eq!(revoke(store, "second").await, RevokeToken::LastAdmin(second));
    }

    the_first_admin_token_stays_until_it_is_replaced_and_then_it_is_valid_again(store) {
        let first = store.store.admin_token(mark("h1"), false).await.unwrap();
        assert_eq!((first.name.as_str(), first.scope, first.created_by.as_str()), (ADMIN, Scope::Admin, "host"));
        assert_eq!(store.store.admin_token(mark("h2"), false).await.unwrap(), first);
        add(store, token("second", Scope::Admin)).await;
        let RevokeToken::Revoked(revoked) = revoke(store, ADMIN).await else { panic!("there is a second one") };
        assert_eq!(store.store.admin_token(mark("h2"), false).await.unwrap(), revoked, "a start doesn't undo it");
        let replaced = store.store.admin_token(mark("h3"), true).await.unwrap();
        assert_eq!((&replaced.mark, &replaced.revoked), (&mark("h3"), &None));
        let rows = store.store.tokens().await.unwrap();
        assert_eq!((rows.len(), &rows[0]), (2, &replaced));
    }
}
