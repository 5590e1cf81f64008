"""Cell models: equations only, vectorised over cells."""
