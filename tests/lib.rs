//! Nothing: the tests are in `both/`, `native/` and `browser/`.
