"""Values that a device gives only when it is asked: ISO-TP connections and whose turn it is."""
