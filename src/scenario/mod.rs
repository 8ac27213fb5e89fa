//! Scenario files: the language, loading with located errors, running a script.
