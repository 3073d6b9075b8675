"""Questions about pictures: one row, one loader, for evaluation, labelling and training."""
