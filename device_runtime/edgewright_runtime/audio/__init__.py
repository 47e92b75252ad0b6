"""From recordings to what a model of speech takes: reading, features, and keywords in a stream. numpy alone."""
