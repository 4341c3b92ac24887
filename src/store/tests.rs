//! Tests of the store over real files: what is restored is one piece of what was published.
