//! Tokens: few rows, read whole; each change a transaction of its own.

use sqlx::{Connection as _, Row as _, SqliteConnection, SqliteExecutor, SqlitePool, sqlite::SqliteRow};

use super::{
    error::{commit_error, store_error},
    views::corrupt,
};
use crate::store::{
    AddToken, NewToken, RevokeToken, Scope, StoreError, TokenMark, TokenRow,
    tokens::{self, ADMIN, Revocation},
};

pub(super) async fn tokens(readers: &SqlitePool) -> Result<Vec<TokenRow>, StoreError> {
    all(readers).await
}

pub(super) async fn add_token(
    writer: &mut SqliteConnection,
    token: NewToken,
    now_ms: i64,
) -> Result<AddToken, StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let added = match one(&mut transaction, &token.name).await? {
        Some(row) => AddToken::NameTaken(row),
        None => {
            let row = tokens::added(token, now_ms);
            insert(&mut transaction, &row).await?;
            AddToken::Added(row)
        }
    };
    transaction.commit().await.map_err(commit_error)?;
    Ok(added)
}

pub(super) async fn revoke_token(
    writer: &mut SqliteConnection,
    name: &str,
    by: &str,
    now_ms: i64,
) -> Result<RevokeToken, StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let rows = all(&mut *transaction).await?;
    let answer = tokens::judge(rows, name, by, now_ms);
    if let RevokeToken::Revoked(row) = &answer {
        let revoked = row.revoked.as_ref();
        sqlx::query("update tokens set revoked_ms = ?, revoked_by = ? where name = ?")
            .bind(revoked.map(|revoked| revoked.at_ms))
            .bind(revoked.map(|revoked| revoked.by.as_str()))
            .bind(name)
            .execute(&mut *transaction)
            .await
            .map_err(store_error)?;
    }
    transaction.commit().await.map_err(commit_error)?;
    Ok(answer)
}

pub(super) async fn admin_token(
    writer: &mut SqliteConnection,
    mark: TokenMark,
    replace: bool,
    now_ms: i64,
) -> Result<TokenRow, StoreError> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(store_error)?;
    let row = match one(&mut transaction, ADMIN).await? {
        Some(row) if !replace => row,
        Some(_) | None => {
            sqlx::query("delete from tokens where name = ?")
                .bind(ADMIN)
                .execute(&mut *transaction)
                .await
                .map_err(store_error)?;
            let row = tokens::added(tokens::admin(mark), now_ms);
            insert(&mut transaction, &row).await?;
            row
        }
    };
    transaction.commit().await.map_err(commit_error)?;
    Ok(row)
}

async fn all(executor: impl SqliteExecutor<'_>) -> Result<Vec<TokenRow>, StoreError> {
    let rows = sqlx::query("select * from tokens order by name")
        .fetch_all(executor)
        .await
        .map_err(store_error)?;
    rows.iter()
        .map(|row| record(row).map_err(|error| corrupt("a token", &error)))
        .collect()
}

async fn one(connection: &mut SqliteConnection, name: &str) -> Result<Option<TokenRow>, StoreError> {
    let row = sqlx::query("select * from tokens where name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(store_error)?;
    row.map(|row| record(&row).map_err(|error| corrupt("a token", &error)))
        .transpose()
}

async fn insert(connection: &mut SqliteConnection, row: &TokenRow) -> Result<(), StoreError> {
    sqlx::query(
        "insert into tokens (hash, hint, name, scope, created_by, created_ms, expires_ms) values (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&row.mark.hash)
    .bind(&row.mark.hint)
    .bind(&row.name)
    .bind(row.scope.as_str())
    .bind(&row.created_by)
    .bind(row.created_ms)
    .bind(row.expires_ms)
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

fn record(row: &SqliteRow) -> Result<TokenRow, sqlx::Error> {
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
