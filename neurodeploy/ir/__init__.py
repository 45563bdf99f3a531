"""The graph: types, op table, verifier, interval proof, passes, artefact."""
