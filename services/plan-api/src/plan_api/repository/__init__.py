"""All SQL of plan-api, one module per family of tables. The caller owns the connection and the transaction."""
