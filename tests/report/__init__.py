"""`finetune report`: the page and the card of an export."""
