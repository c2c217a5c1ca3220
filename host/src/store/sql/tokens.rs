//! Tokens: few rows, read whole; each change a transaction of its own.

use super::{
    catalog::alone,
    connection::{Connection, sql},
    error::store_error,
    value::Row,
    views::corrupt,
    writer::Fault,
};
use crate::store::{
    AddToken, NewToken, RevokeToken, Scope, StoreError, TokenMark, TokenRow,
    tokens::{self, ADMIN, Revocation},
};

pub(super) async fn tokens(connection: &mut Connection) -> Result<Vec<TokenRow>, StoreError> {
    all(connection).await
}

pub(super) async fn add_token(
    connection: &mut Connection,
    token: &NewToken,
    now_ms: i64,
) -> Result<AddToken, Fault> {
    alone(connection).await?;
    match one(connection, &token.name).await? {
        Some(row) => Ok(AddToken::NameTaken(row)),
        None => {
            let row = tokens::added(token.clone(), now_ms);
            insert(connection, &row).await?;
            Ok(AddToken::Added(row))
        }
    }
}

pub(super) async fn revoke_token(
    connection: &mut Connection,
    name: &str,
    by: &str,
    now_ms: i64,
) -> Result<RevokeToken, Fault> {
    alone(connection).await?;
    let rows = all(connection).await?;
    let answer = tokens::judge(rows, name, by, now_ms);
    if let RevokeToken::Revoked(row) = &answer {
        let revoked = row.revoked.as_ref();
        sql!("update tokens set revoked_ms = ?, revoked_by = ? where name = ?")
            .bind(revoked.map(|revoked| revoked.at_ms))
            .bind(revoked.map(|revoked| revoked.by.as_str()))
            .bind(name)
            .run(connection)
            .await?;
    }
    Ok(answer)
}

pub(super) async fn admin_token(
    connection: &mut Connection,
    mark: &TokenMark,
    replace: bool,
    now_ms: i64,
) -> Result<TokenRow, Fault> {
    alone(connection).await?;
    match one(connection, ADMIN).await? {
        Some(row) if !replace => Ok(row),
        Some(_) | None => {
            sql!("delete from tokens where name = ?")
                .bind(ADMIN)
                .run(connection)
                .await?;
            let row = tokens::added(tokens::admin(mark.clone()), now_ms);
            insert(connection, &row).await?;
            Ok(row)
        }
    }
}

async fn all(connection: &mut Connection) -> Result<Vec<TokenRow>, StoreError> {
    let rows = sql!("select * from tokens order by name")
        .all(connection)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record(row).map_err(|error| corrupt("a token", &error)))
        .collect()
}

async fn one(connection: &mut Connection, name: &str) -> Result<Option<TokenRow>, StoreError> {
    let row = sql!("select * from tokens where name = ?")
        .bind(name)
        .optional(connection)
        .await
        .map_err(store_error)?;
    row.map(|row| record(&row).map_err(|error| corrupt("a token", &error)))
        .transpose()
}

async fn insert(connection: &mut Connection, row: &TokenRow) -> Result<(), sqlx::Error> {
    sql!(
        "insert into tokens (hash, hint, name, scope, created_by, created_ms, expires_ms) values (?, ?, ?, ?, ?, ?, ?)"
    )
    .bind(&row.mark.hash)
    .bind(&row.mark.hint)
    .bind(&row.name)
    .bind(row.scope.as_str())
    .bind(&row.created_by)
    .bind(row.created_ms)
    .bind(row.expires_ms)
    .run(connection)
    .await?;
    Ok(())
}

fn record(row: &Row) -> Result<TokenRow, sqlx::Error> {
    let scope: &str = row.try_get("scope")?;
    let scope = Scope::parse(scope)
        .ok_or_else(|| sqlx::Error::Decode(format!("column scope: {scope:?} is no scope").into()))?;
    let revoked_ms: Option<i64> = row.try_get("revoked_ms")?;
    let revoked_by: Option<String> = row.try_get("revoked_by")?;
    Ok(TokenRow {
        mark: TokenMark {
            hash: row.try_get("hash")?,
            hint: row.try_get("hint")?,
        },
        name: row.try_get("name")?,
        scope,
        created_by: row.try_get("created_by")?,
        created_ms: row.try_get("created_ms")?,
        expires_ms: row.try_get("expires_ms")?,
        revoked: revoked_ms.map(|at_ms| Revocation {
            by: revoked_by.unwrap_or_default(),
            at_ms,
        }),
    })
}
