"""What answers: trained models, and any Hugging Face model, behind one small interface."""
